//! What is SQLite's own: old schemas, the file that somebody changed, the log that a power cut has ended.

mod forgery;
mod migration;
mod power;
mod rows;

#[test]
fn nothing_else_of_the_suite_knows_which_database_it_is() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    for entry in std::fs::read_dir(folder).expect("the suite") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).expect("text");
            for word in ["rusqlite", "PRAGMA", "sqlite_"] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}
