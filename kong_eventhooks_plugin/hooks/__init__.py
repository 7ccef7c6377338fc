"""Hook definitions: their schema, where they are declared, which are valid, which are in force."""
