//! The gRPC contracts: generated code, conversions and the closed list of error codes.
