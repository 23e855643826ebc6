//! Rows of the test plan.
