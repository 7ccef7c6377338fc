"""Which definitions are valid: Kong's schema language, and the rules that it cannot express."""
