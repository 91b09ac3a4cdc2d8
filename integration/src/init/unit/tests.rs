use super::*;

const MS: Duration = Duration::from_millis(1);

fn running(now: Instant, watchdog: Option<Duration>) -> Unit {
    let mut unit = Unit::new(watchdog);
    assert_eq!(unit.handle(&Event::Start, now), Some(Effect::Spawn));
    assert_eq!(unit.handle(&Event::Spawned(7), now), None);
    assert_eq!((unit.state_word(), unit.pid()), ("running", Some(7)));
    unit
}

#[test]
fn a_killed_unit_comes_back_after_the_pause() {
    let mut now = Instant::now();
    let mut unit = running(now, None);
    for round in 1..=20 {
        assert_eq!(unit.handle(&Event::Exited { by_signal: true }, now), Some(Effect::Clear));
        assert_eq!(unit.handle(&Event::Cleared, now), None);
        assert_eq!(unit.handle(&Event::Tick, now + 99 * MS), None);
        now += 100 * MS;
        assert_eq!(unit.handle(&Event::Tick, now), Some(Effect::Spawn));
        unit.handle(&Event::Spawned(8), now);
        assert_eq!(unit.restarts, round);
    }
}

#[test]
fn a_unit_that_ends_at_once_waits_longer_each_time_but_not_for_ever() {
    let mut now = Instant::now();
    let mut unit = running(now, None);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        unit.handle(&Event::Exited { by_signal: false }, now);
        unit.handle(&Event::Cleared, now);
        let until = unit.deadline().unwrap();
        pauses.push((until - now).as_millis());
        now = until;
        assert_eq!(unit.handle(&Event::Tick, now), Some(Effect::Spawn));
        unit.handle(&Event::Spawned(8), now);
    }
    assert_eq!(pauses, [200, 400, 800, 1600, 2000, 2000, 2000, 2000]);
}

#[test]
fn stop_terminates_then_kills_then_rests() {
    let now = Instant::now();
    let mut unit = running(now, None);
    assert_eq!(unit.handle(&Event::Stop, now), Some(Effect::Terminate));
    assert_eq!(unit.handle(&Event::Tick, now + STOP_LIMIT), Some(Effect::Kill));
    assert_eq!(unit.handle(&Event::Exited { by_signal: true }, now + STOP_LIMIT), Some(Effect::Clear));
    // Something is still dying in there: it is tried again.
    assert_eq!(unit.handle(&Event::Tick, now + STOP_LIMIT + CLEAR_RETRY), Some(Effect::Clear));
    assert_eq!(unit.handle(&Event::Cleared, now + STOP_LIMIT), None);
    assert_eq!(unit.state_word(), "inactive");
    assert_eq!(unit.deadline(), None);
}

#[test]
fn restart_goes_through_an_empty_cgroup() {
    let now = Instant::now();
    let mut unit = running(now, None);
    assert_eq!(unit.handle(&Event::Restart, now), Some(Effect::Terminate));
    assert_eq!(unit.handle(&Event::Exited { by_signal: false }, now), Some(Effect::Clear));
    assert_eq!(unit.handle(&Event::Cleared, now), Some(Effect::Spawn));
    unit.handle(&Event::Spawned(9), now);
    assert_eq!((unit.starts, unit.restarts), (2, 0));
}

#[test]
fn the_last_wish_wins_while_it_is_stopping() {
    let now = Instant::now();
    let mut unit = running(now, None);
    unit.handle(&Event::Restart, now);
    unit.handle(&Event::Stop, now);
    unit.handle(&Event::Exited { by_signal: false }, now);
    assert_eq!(unit.handle(&Event::Cleared, now), None);
    assert_eq!(unit.state_word(), "inactive");
    let mut unit = running(now, None);
    unit.handle(&Event::Stop, now);
    unit.handle(&Event::Start, now);
    unit.handle(&Event::Exited { by_signal: false }, now);
    assert_eq!(unit.handle(&Event::Cleared, now), Some(Effect::Spawn));
}

#[test]
fn the_watchdog_is_armed_by_the_first_sign_of_life() {
    let now = Instant::now();
    let mut unit = running(now, Some(1000 * MS));
    assert_eq!(unit.handle(&Event::Tick, now + 60_000 * MS), None);
    unit.handle(&Event::Alive, now);
    unit.handle(&Event::Alive, now + 500 * MS);
    assert_eq!(unit.handle(&Event::Tick, now + 1400 * MS), None);
    assert_eq!(unit.handle(&Event::Tick, now + 1500 * MS), Some(Effect::Abort));
    assert_eq!(unit.handle(&Event::Tick, now + 2000 * MS), Some(Effect::Kill));
    assert_eq!(unit.handle(&Event::Exited { by_signal: true }, now + 2001 * MS), Some(Effect::Clear));
    unit.handle(&Event::Cleared, now + 2001 * MS);
    assert_eq!(unit.state_word(), "waiting");
}

#[test]
fn a_spawn_that_fails_is_tried_again() {
    let now = Instant::now();
    let mut unit = Unit::new(None);
    unit.handle(&Event::Start, now);
    assert_eq!(unit.handle(&Event::Exited { by_signal: false }, now), Some(Effect::Clear));
    unit.handle(&Event::Cleared, now);
    assert_eq!(unit.state_word(), "waiting");
    assert_eq!(unit.pid(), None);
}
