//! Generates the client's stubs from ../../protos; google/ comes from other crates.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = "../../protos";
    let files = ["experiment_service", "metric_service"]
        .map(|name| format!("{protos}/runicornapi/v1/{name}.proto"));
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("contract.rs")
        .compile_protos(&files, &[protos.to_string()])?;
    println!("cargo:rerun-if-changed={protos}");
    Ok(())
}
