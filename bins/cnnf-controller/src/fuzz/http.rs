//! Raw bytes on the web port, behind its TLS.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::mutate::fuzz_for;
use super::{check_memory, time, world};
use crate::web::speak_to;

#[test]
fn fuzz_http() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_folder, controller) = world();
    let begin = Instant::now();
    let rounds = fuzz_for("corpus/http", time(), |bytes| {
        runtime.block_on(async {
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            let served = speak_to(Arc::clone(&controller), theirs, bytes.starts_with(b"PRI "));
            let asked = async {
                let (mut read, mut write) = tokio::io::split(ours);
                // Whoever is told that a request is bad may not be heard out.
                let _ = write.write_all(bytes).await;
                let _ = write.shutdown().await;
                let mut answer = Vec::new();
                let _ = (&mut read).take(8 << 20).read_to_end(&mut answer).await;
                answer
            };
            let both = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(served, asked) }).await;
            let (_, answer) = both.expect("it ends");
            let text = String::from_utf8_lossy(&answer);
            for line in text.lines().filter(|line| line.starts_with("HTTP/1.")) {
                // The page may not be built.
                let bad = line.split(' ').nth(1).is_some_and(|code| code.starts_with('5') && code != "503");
                assert!(!bad, "{line}");
            }
        });
    });
    check_memory();
    println!("{rounds} connections in {:?}", begin.elapsed());
}
