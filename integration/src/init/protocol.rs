//! What is asked of a node's init over its socket: one line of JSON each way.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::booted;
use crate::error::{Error, Result};
use crate::layout::WorldDir;

/// The socket's name in the node's folder.
pub(crate) const SOCKET: &str = "init.sock";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// How the node is.
    Status,
    Start {
        unit: String,
    },
    Stop {
        unit: String,
    },
    Restart {
        unit: String,
    },
    /// A signal (by its number) to every process of the unit.
    Kill {
        unit: String,
        signal: i32,
    },
    /// A cgroup for one command, held as long as the connection lives: the named unit's, or a new session's.
    Hold {
        unit: Option<String>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Done,
    Node(NodeReport),
    Cgroup(String),
    Refused(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    /// Every interface carries packets and no address is tentative.
    pub(crate) links_up: bool,
    pub(crate) units: Vec<UnitReport>,
}

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitReport {
    /// Name with suffix.
    pub name: String,
    /// Its cgroup as its host sees it.
    pub cgroup: String,
    /// `inactive`, `starting`, `running`, `stopping` or `waiting` (for its next restart).
    pub state: String,
    /// Its main process as its host numbers it.
    pub pid: Option<i32>,
    /// The same process as the machine numbers it (filled in outside).
    pub host_pid: Option<i32>,
    /// Running, and the port it declared is bound.
    pub ready: bool,
    /// How often it was started.
    pub starts: u64,
    /// How often it was restarted because it ended by itself or was silent too long.
    pub restarts: u64,
    /// How it ended last.
    pub last_exit: Option<String>,
}

/// Asks a node's init, the lab's or systemd.
pub(crate) fn ask(dir: &WorldDir, node: &str, request: &Request) -> Result<Reply> {
    match dir.load()? {
        Some(state) if state.is_booted(node) => booted::ask(&state, node, request),
        _ => Ok(ask_init(dir, node, request)?.0),
    }
}

/// Asks the lab's own init; the connection is returned for [`Request::Hold`].
pub(crate) fn ask_init(dir: &WorldDir, node: &str, request: &Request) -> Result<(Reply, UnixStream)> {
    let gone = |error: &dyn std::fmt::Display| {
        Error::Unreachable(format!(
            "the init of {node} does not answer ({error}), take the world down and up again (cnnf-lab down, in {})",
            dir.path().display()
        ))
    };
    // A socket address holds 107 bytes; a world's folder may be deeper.
    let folder = File::open(dir.node(node)).map_err(|error| gone(&error))?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let mut stream = UnixStream::connect(path).map_err(|error| gone(&error))?;
    let mut exchange = || -> std::io::Result<Reply> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    match exchange().map_err(|error| gone(&error))? {
        Reply::Refused(text) => Err(Error::Usage(text)),
        reply => Ok((reply, stream)),
    }
}

/// The node's report.
pub(crate) fn report(dir: &WorldDir, node: &str) -> Result<NodeReport> {
    match ask(dir, node, &Request::Status)? {
        Reply::Node(report) => Ok(report),
        other => Err(Error::Failed(format!("the init of {node} answered {other:?} to a question about its state"))),
    }
}
