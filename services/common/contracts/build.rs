//! Compiles the protos to Rust without `protoc`, and keeps their descriptors for reflection.

use std::{env, fs, path::PathBuf};

use anyhow::Context;
use prost::Message;

const FILES: &[&str] = &[
    "common",
    "projects",
    "accounts",
    "tokens",
    "pipelines",
    "triggers",
    "runs",
    "rollbacks",
    "freezes",
    "holds",
    "history",
    "executor",
    "logs",
    "events",
    "peers",
    "why",
];

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../../proto");
    let files: Vec<PathBuf> =
        FILES.iter().map(|name| root.join(format!("shipway/v1/{name}.proto"))).collect();
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(&files, [&root]).context("compiling the protos")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors).context("generating Rust from the protos")?;
    Ok(())
}
