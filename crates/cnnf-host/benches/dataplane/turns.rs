//! Ways of filtering, measured in turns.

use crate::Fallible;
use crate::report::{Bar, Measured, Report};

/// Rounds that count, unless a part says otherwise.
pub(crate) const ROUNDS: usize = 7;
/// A round whose baseline needs more for a connection met another job of the machine's, in µs.
const DISTURBED_US: f64 = 100.0;
/// So many times as many rounds as are wanted are tried.
const ATTEMPTS: usize = 6;

/// What is measured of a way once.
pub(crate) type Once<'a> = Box<dyn FnMut() -> Fallible<Vec<f64>> + 'a>;

/// Whether a round counts, by what the baseline said.
pub(crate) type Counts = fn(&[f64]) -> bool;

/// Any round does.
pub(crate) fn any(_: &[f64]) -> bool {
    true
}

/// One whose baseline opens connections as fast as it does where nothing else runs.
pub(crate) fn undisturbed(baseline: &[f64]) -> bool {
    baseline.first().is_some_and(|p50| *p50 <= DISTURBED_US)
}

/// Measures the first way and each of the others, in `number` rounds; reports each of the others beside the first.
pub(crate) fn rounds<'a, const N: usize>(
    report: &mut Report,
    what: &'static str,
    number: usize,
    counts: Counts,
    base: (&'static str, Once<'a>),
    others: Vec<(&'static str, Once<'a>, [Bar; N])>,
) -> Fallible<()> {
    let mut ways = vec![base];
    let mut measured = Vec::new();
    for (name, way, bars) in others {
        measured.push((Measured::new(what, ways[0].0, name), bars));
        ways.push((name, way));
    }
    let mut counted = 0;
    for attempt in 0..number * ATTEMPTS {
        let mut said = vec![Vec::new(); ways.len()];
        for turn in 0..ways.len() {
            // who comes first changes, as a machine may get slower or faster meanwhile
            let next = (turn + attempt) % ways.len();
            said[next] = ways[next].1()?;
        }
        let mut said = said.into_iter();
        let of_base = said.next().unwrap_or_default();
        let counts = counts(&of_base);
        for ((measured, _), of_ours) in measured.iter_mut().zip(said) {
            if counts {
                measured.pairs.push((of_base.clone(), of_ours));
            } else {
                measured.thrown_away += 1;
            }
        }
        counted += usize::from(counts);
        if counted == number {
            break;
        }
    }
    for (measured, bars) in measured {
        report.add(measured, &bars);
    }
    Ok(())
}
