//! Real processes, real PostgreSQL, Git and clients.
