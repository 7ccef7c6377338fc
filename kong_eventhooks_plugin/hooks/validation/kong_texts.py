"""Kong's error texts of invalid values, as in Kong 3.9.3.

People know these texts from Kong's Admin API and from decK, and search for them. All but the last are in the table
``validation_errors`` of kong/db/schema/init.lua, under the name of the constant.
"""

REQUIRED = "required field missing"
UNKNOWN = "unknown field"

ARRAY = "expected an array"
SET = "expected a set"
MAP = "expected a map"
RECORD = "expected a record"
STRING = "expected a string"
BOOLEAN = "expected a boolean"
INTEGER = "expected an integer"

EQ = "value must be {}"
NE = "value must not be {}"
BETWEEN = "value should be between {} and {}"
LEN_MIN = "length must be at least {}"
LEN_MAX = "length must be at most {}"
MATCH = "invalid value: {}"
ONE_OF = "expected one of: {}"

CONDITIONAL = "failed conditional validation given value of field '{}'"
MUTUALLY_EXCLUSIVE = "only one or none of these fields must be set: {}"

JSON_TYPE = "wrong type: expected one of {}, got {}"  # lua-resty-ljsonschema, which kong/db/schema/json.lua calls
