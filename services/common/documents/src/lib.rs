//! The flow document: parsing, expressions, functions and their errors. Pure.
