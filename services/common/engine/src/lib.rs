//! The run: state, decide, evolve, plan, why and invariants. Pure.
