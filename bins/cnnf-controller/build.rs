//! A release has the page's files in itself, so it is built anew when they change. A debug build reads them at run time.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rerun-if-changed=../../ui/dist");
    }
}
