-- Version 6: what it made, version 7 makes anew. Where it is there, nodes of before call it until they are upgraded.

SELECT;
