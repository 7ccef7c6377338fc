"""Kong's texts for what is wrong with a value, each with the place in Kong 3.9.3 that says it so.

People know these texts from Kong's Admin API and from decK, and search for them. All but the last stand in
the table ``validation_errors`` of kong/db/schema/init.lua, under the name in the comment.
"""

REQUIRED = "required field missing"  # REQUIRED
UNKNOWN = "unknown field"  # UNKNOWN

ARRAY = "expected an array"  # ARRAY
SET = "expected a set"  # SET
MAP = "expected a map"  # MAP
RECORD = "expected a record"  # RECORD
STRING = "expected a string"  # STRING
BOOLEAN = "expected a boolean"  # BOOLEAN
INTEGER = "expected an integer"  # INTEGER

EQ = "value must be {}"  # EQ
BETWEEN = "value should be between {} and {}"  # BETWEEN
LEN_MIN = "length must be at least {}"  # LEN_MIN
LEN_MAX = "length must be at most {}"  # LEN_MAX
STARTS_WITH = "should start with: {}"  # STARTS_WITH
MATCH = "invalid value: {}"  # MATCH
ONE_OF = "expected one of: {}"  # ONE_OF

CONDITIONAL = "failed conditional validation given value of field '{}'"  # CONDITIONAL
MUTUALLY_EXCLUSIVE = "only one or none of these fields must be set: {}"  # MUTUALLY_EXCLUSIVE

JSON_TYPE = "wrong type: expected one of {}, got {}"  # lua-resty-ljsonschema, which kong/db/schema/json.lua calls
