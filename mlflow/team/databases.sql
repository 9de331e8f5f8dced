-- The role and the two databases of the tracking server, for psql as superuser. Repeating it does no harm.
-- Takes the role's password from MLFLOW_DATABASE_PASSWORD, so that no command line holds it; a statement that fails is
-- not repeated in the log, for this one has the password in it.
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
\set password `printenv MLFLOW_DATABASE_PASSWORD`

SELECT 'CREATE ROLE mlflow' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mlflow') \gexec
ALTER ROLE mlflow LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';

SELECT 'CREATE DATABASE mlflow OWNER mlflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mlflow') \gexec
SELECT 'CREATE DATABASE mlflow_auth OWNER mlflow'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mlflow_auth') \gexec
REVOKE ALL ON DATABASE mlflow, mlflow_auth FROM PUBLIC;
