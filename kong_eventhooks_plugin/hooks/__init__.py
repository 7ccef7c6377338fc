"""Hook definitions: where they are declared, what is valid, which are in force."""
