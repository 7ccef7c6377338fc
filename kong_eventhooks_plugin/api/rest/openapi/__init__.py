"""The REST API's description, OpenAPI 3.1, generated from the data that the API uses."""
