//! `doctor`: what the kernel offers, what comes before our table, what always passes, and what is not covered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cnnf_host::dataplane::{TABLE, labels};
use cnnf_host::kernel::{LabelPlace, Nft, TableDump, TableHead};

use cnnf_host::observe::containers::Containers;
use cnnf_host::observe::namespaces;
use cnnf_host::observe::owner::Owners;

use crate::ability::Ability;
use crate::config::Config;
use crate::enrolment::Enrolment;
use crate::failure::Failure;
use crate::local;
use crate::namespaces::words;
use crate::output::say;
use crate::runtime::queue_word;
use crate::sandbox;

/// The priority of our chains; a lower one comes first.
const PRIORITY: i32 = -5;

/// Prints it. Fails if this host cannot be defended.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let ability = Ability::find(config)?;
    config.label_place().choose();
    kernel(&ability)?;
    label_bits(config)?;
    match local::named(config) {
        Some(named) => say!("  until now {named}")?,
        None => say!("  no defender runs, so none were given")?,
    }
    let mut not_covered = vec!["forwarded and bridged packets (containers with a network of their own)".to_owned()];
    let containers = Arc::new(Containers::new(config.containers.places()));
    match Owners::open(Arc::default(), containers).and_then(|owners| namespaces::read(&owners)) {
        Ok(found) => not_covered.extend(words(&found, &BTreeMap::new())),
        Err(error) => not_covered.push(format!("other network namespaces, which could not be looked for: {error}")),
    }
    if ability.queue_is_missing() {
        not_covered.push("programs outside services: the kernel has no queue to find their owners from".into());
    }
    say!("tables")?;
    let mut nft = Nft::open().map_err(Failure::refused)?;
    for table in nft.list_all_tables().map_err(Failure::refused)? {
        if is_ours(&table) {
            say!("  {} {}  (ours)", table.family_name(), table.name)?;
            continue;
        }
        say!("  {} {}", table.family_name(), table.name)?;
        // one that changes all the time, or goes away now, has nothing to say
        if let Ok(Some(dump)) = nft.dump_of(&table) {
            not_covered.extend(foreign(&table, &dump)?);
        }
    }
    for file in files_with_our_table() {
        say!("  {file} has our table in it: nft loads nothing of it; leave that table out, the defender makes it")?;
    }
    not_covered.extend(legacy());
    say!("always passes")?;
    let enrolment = Enrolment::load(&config.state_dir).ok().flatten();
    let controller = config.controller.clone().or(enrolment.map(|e| e.place.controller)).unwrap_or_default();
    let port = controller.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let failsafes = config.failsafes(port).map_err(Failure::usage)?;
    say!("  in   {}", failsafes.ingress)?;
    say!("  out  {}", failsafes.egress)?;
    say!("not covered")?;
    for what in not_covered {
        say!("  {what}")?;
    }
    Ok(())
}

fn kernel(ability: &Ability) -> Result<(), Failure> {
    let features = ability.features;
    let word = |has: bool| if has { "yes" } else { "no" };
    say!("kernel")?;
    say!("  connection labels     {}", word(features.ct_labels))?;
    say!("  socket control group  {}", word(features.socket_cgroup))?;
    say!("  native queue          {}", word(features.native_queue))?;
    say!("  xt queue              {}", word(features.xt_queue))?;
    say!("  counters of rules     {}", word(features.named_counters))?;
    say!("  owned tables          {}", word(features.owner_persist))?;
    let number = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    say!("  counts bytes          {}", word(number("/proc/sys/net/netfilter/nf_conntrack_acct") == "1"))?;
    if number("/proc/sys/net/netfilter/nf_conntrack_tcp_loose") == "0" {
        say!("  nf_conntrack_tcp_loose is 0: connections taken up mid-stream are invalid and pass unjudged")?;
    }
    say!("  filters system calls  {}", word(sandbox::has_filters()))?;
    say!("  Landlock              {}", word(sandbox::has_landlock()))?;
    say!("names of services")?;
    match ability.unstamped {
        "" => say!("  by the kernel; programs outside units by the queue ({})", queue_word(ability.queue)),
        why => say!("  by the queue ({}), every new connection waits: {why}", queue_word(ability.queue)),
    }
}

/// Which label bits are others', and whether others use those that are ours, as far as connections that live tell.
fn label_bits(config: &Config) -> Result<(), Failure> {
    let first = config.first_free_label_bit;
    say!("  label bits            all but {first} to {} are ours", first + LabelPlace::FREE - 1)?;
    match labels::strange() {
        Ok(0) => Ok(()),
        Ok(number) => say!(
            "  {number} connections have bits of ours that no defender sets, and count as ambiguous: where other software sets labels, see first_free_label_bit"
        ),
        Err(error) => say!("  connections could not be listed: {error}"),
    }
}

fn is_ours(table: &TableHead) -> bool {
    table.name == TABLE && table.family_name() == "inet"
}

/// Prints what of somebody else's table comes before ours; says what keeps packets from us.
fn foreign(table: &TableHead, dump: &TableDump) -> Result<Vec<String>, Failure> {
    for chain in dump.chains.iter().filter(|chain| chain.base.is_some_and(|(_, priority)| priority < PRIORITY)) {
        say!("    chain {} comes before ours", chain.name)?;
    }
    let exempts = |chain: &&cnnf_host::kernel::ChainDump| {
        chain.rules.iter().any(|rule| rule.expressions.iter().any(|expression| expression == "notrack"))
    };
    let chains = dump.chains.iter().filter(exempts);
    let what = |name: &str| {
        format!("packets that {} {} exempts from tracking, in chain {name}", table.family_name(), table.name)
    };
    Ok(chains.map(|chain| what(&chain.name)).collect())
}

/// The files from which rules are loaded when a host boots, as distributions have them, with our table in them: somebody saved all that was there.
fn files_with_our_table() -> Vec<String> {
    let mut files: Vec<PathBuf> =
        ["/etc/nftables.conf", "/etc/nftables.nft", "/etc/sysconfig/nftables.conf"].map(PathBuf::from).into();
    for folder in ["/etc/nftables", "/etc/nftables.d"] {
        files.extend(std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    let has_it = |file: &PathBuf| std::fs::read_to_string(file).is_ok_and(|text| has_our_table(&text));
    files.into_iter().filter(has_it).map(|file| file.display().to_string()).collect()
}

fn has_our_table(rules: &str) -> bool {
    rules.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip_while(|word| *word == "add");
        words.next() == Some("table") && words.next() == Some("inet") && words.next() == Some(TABLE)
    })
}

/// The tables of iptables' older form cannot be read through nf_tables. Its table `raw` is where packets are exempted.
fn legacy() -> Vec<String> {
    let of = |program: &str, file: &str| {
        let names = std::fs::read_to_string(file).unwrap_or_default();
        names.lines().any(|name| name == "raw").then(|| {
            format!("packets that the table raw of {program}-legacy may exempt from tracking: see '{program}-legacy -t raw -S'")
        })
    };
    let files = [("iptables", "/proc/net/ip_tables_names"), ("ip6tables", "/proc/net/ip6_tables_names")];
    files.into_iter().filter_map(|(program, file)| of(program, file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_table_is_found_in_what_was_saved() {
        assert!(has_our_table("flush ruleset\n\ntable inet cnnf { # progname cnnf-defender\n\tflags owner\n"));
        assert!(has_our_table("  add table inet cnnf"));
        assert!(!has_our_table("table inet cnnf_other {\n}\n# table inet cnnf\ntable ip cnnf {\n"));
    }
}
