"""What is known of every entity of Kong's, and how changes are found and kept until they are told."""
