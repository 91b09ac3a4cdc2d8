//! `doctor`: what the kernel offers, what comes before our table, what always passes, and what is not covered.

use cnnf_host::dataplane::TABLE;
use cnnf_host::kernel::Nft;

use crate::config::Config;
use crate::enrolment::Enrolment;
use crate::failure::Failure;
use crate::runtime::features;

/// Prints it. Fails if this host cannot be defended.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let features = features()?;
    let word = |has: bool| if has { "yes" } else { "no" };
    println!("kernel");
    println!("  connection labels     {}", word(features.ct_labels));
    println!("  socket control group  {}", word(features.socket_cgroup));
    println!("  native queue          {}", word(features.native_queue));
    println!("  xt queue              {}", word(features.xt_queue));
    println!("  owned tables          {}", word(features.owner_persist));
    let number = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    println!("  counts bytes          {}", word(number("/proc/sys/net/netfilter/nf_conntrack_acct") == "1"));
    let strict = number("/proc/sys/net/netfilter/nf_conntrack_tcp_loose") == "0";
    if strict {
        println!("  nf_conntrack_tcp_loose is 0: connections taken up mid-stream are invalid and pass unjudged");
    }

    let mut nft = Nft::open().map_err(Failure::refused)?;
    let tables = nft.list_tables().map_err(Failure::refused)?;
    println!("tables of family inet");
    for table in &tables {
        println!("  {}{}", table.name, if table.name == TABLE { "  (ours)" } else { "" });
        if table.name == TABLE {
            continue;
        }
        let Ok(Some(dump)) = nft.dump(&table.name) else { continue };
        for chain in dump.chains.iter().filter(|chain| chain.base.is_some_and(|(_, priority)| priority < -5)) {
            println!("    chain {} comes before ours", chain.name);
        }
    }
    println!("always passes");
    let enrolment = Enrolment::load(&config.state_dir).ok().flatten();
    let controller = config.controller.clone().or(enrolment.map(|e| e.place.controller)).unwrap_or_default();
    let port = controller.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let failsafes = config.failsafes(port).map_err(Failure::usage)?;
    println!("  in   {}", failsafes.ingress);
    println!("  out  {}", failsafes.egress);
    println!("not covered");
    println!("  forwarded and bridged packets (containers with a network of their own), packets that are not tracked");
    if features.ct_labels && features.socket_cgroup {
        Ok(())
    } else {
        Err(Failure::no("this kernel cannot tell services apart: Linux 5.13 with nf_conntrack is needed"))
    }
}
