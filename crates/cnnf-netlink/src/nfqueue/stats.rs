//! Counters of the queues, from /proc.

/// Where the kernel shows the queues of the calling thread's network namespace.
pub const STATS_PATH: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// A line of [`STATS_PATH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue's number.
    pub num: u16,
    /// Port id of its listener's socket.
    pub port_id: u32,
    /// Packets that wait now.
    pub waiting: u32,
    /// Packets dropped because the queue was full.
    pub dropped: u32,
    /// Packets dropped because the listener's receive buffer was full.
    pub user_dropped: u32,
    /// Id of the last packet: how many there were.
    pub last_id: u32,
}

/// Reads the text of [`STATS_PATH`] (`seq_show` in net/netfilter/nfnetlink_queue.c); lines that
/// it does not understand are skipped.
pub fn parse_stats(text: &str) -> Vec<QueueStats> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<QueueStats> {
    let mut words = line.split_ascii_whitespace();
    let num = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse().ok();
    let (port_id, waiting) = (number()?, number()?);
    let (_copy_mode, _copy_range) = (number()?, number()?);
    Some(QueueStats { num, port_id, waiting, dropped: number()?, user_dropped: number()?, last_id: number()? })
}
