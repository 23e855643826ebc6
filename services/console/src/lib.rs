//! The HTTP front: REST, gRPC and the web app's home.
