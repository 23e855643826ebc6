//! What the small processes (keeper, shim, sandbox launcher) and the executor share about the machine.

pub(crate) mod beneath;
pub(crate) mod boot;
pub(crate) mod children;
pub(crate) mod files;
pub(crate) mod procfs;
pub(crate) mod stage;
pub(crate) mod wire;
