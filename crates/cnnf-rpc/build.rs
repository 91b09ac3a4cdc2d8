//! Compiles `proto/` with protox, which needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = ["common", "flow", "policy", "event", "defender", "admin", "access", "watch", "channel"]
        .map(|f| format!("{root}/cnnf/v1/{f}.proto"));
    let mut compiler = protox::Compiler::new([root])?;
    let descriptors = compiler.include_source_info(true).include_imports(true).open_files(files)?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    // Names lead from a message to its descriptor, and so to its JSON form. Ordered maps make equal messages print equally.
    config.enable_type_names().btree_map(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors.file_descriptor_set(), config)?;
    Ok(())
}
