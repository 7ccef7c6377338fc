"""The REST API's description, OpenAPI 3.1, made from the data that the API itself goes by."""
