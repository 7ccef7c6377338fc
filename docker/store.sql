-- The role and the schema that the sidecars of the profile `cluster` share: docs/cluster.md, "The database". The image runs
-- this once, as a superuser, when the volume is new.
\set password `cat /run/secrets/store_password`
CREATE ROLE event_hooks LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE DATABASE event_hooks ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE event_hooks FROM PUBLIC;
GRANT CONNECT ON DATABASE event_hooks TO event_hooks;
\connect event_hooks
CREATE SCHEMA kong_event_hooks AUTHORIZATION event_hooks;
