//! Who goes when the room is full, and how many there are that are leaving.

use futures_util::FutureExt as _;

use super::*;

const NETWORK: Origin = Origin::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

fn is_displaced(place: &Place) -> bool {
    place.is_displaced()
}

#[test]
fn a_full_room_shows_the_longest_idle_one_out() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(2)), usize::MAX));
    let first = room.enter(NETWORK).expect("a place");
    std::thread::sleep(Duration::from_millis(5));
    let second = room.enter(NETWORK).expect("a place");
    let third = room.enter(NETWORK).expect("the first one's place");
    assert!(is_displaced(&first) && !is_displaced(&second) && !is_displaced(&third));
    // That the first one ends now frees nothing more.
    drop(first);
    assert_eq!(room.inside().connections.len(), 2);
    drop((second, third));
    assert_eq!(room.inside().connections.len(), 0);
}

#[test]
fn strangers_go_before_who_is_known_and_who_is_known_and_busy_stays() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(2)), usize::MAX));
    let known = room.enter(NETWORK).expect("a place");
    known.guest().welcome();
    std::thread::sleep(Duration::from_millis(5));
    let stranger = room.enter(NETWORK).expect("a place");
    let busy = stranger.visit();
    assert!(known.idle().is_some() && stranger.idle().is_none());
    let next = room.enter(NETWORK).expect("a place");
    assert!(is_displaced(&stranger) && !is_displaced(&known), "although the one is busy, and the other idle");
    drop(busy);
    let idle = room.enter(NETWORK).expect("a place");
    assert!(is_displaced(&next) && !is_displaced(&known));
    idle.guest().welcome();
    let _request = idle.visit();
    let last = room.enter(NETWORK).expect("a place");
    assert!(is_displaced(&known) && !is_displaced(&idle), "both are known, and one is busy");
    last.guest().welcome();
    let _request = last.visit();
    assert!(room.enter(NETWORK).is_none(), "all are known and busy");
}

#[test]
fn what_was_noted_counts_only_while_it_holds() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(4)), usize::MAX));
    let mut inside: Vec<_> = (0..4)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            room.enter(NETWORK).expect("a place")
        })
        .collect();
    inside.push(room.enter(NETWORK).expect("the place of the first"));
    // Those that were to follow have become known, have begun to ask, and have gone.
    inside[1].guest().welcome();
    let _request = inside[2].visit();
    drop(inside.remove(3));
    inside.push(room.enter(NETWORK).expect("the place of the one that has gone"));
    assert!(inside[1..].iter().all(|place| !is_displaced(place)));
    inside.push(room.enter(NETWORK).expect("the place of a stranger"));
    assert!(!is_displaced(&inside[1]) && !is_displaced(&inside[2]) && is_displaced(&inside[3]));
}

fn is_cut(place: &Place) -> bool {
    place.cut().now_or_never().is_some()
}

/// The user whose supervisor it is, and the one whose workload fills the room.
const SUPERVISOR: Origin = Origin::Uid(0);
const FLOOD: Origin = Origin::Uid(65534);

#[test]
fn a_user_who_fills_the_room_displaces_no_other() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(8)), usize::MAX));
    let mut flood: Vec<_> = (0..8).map(|_| room.enter(FLOOD).expect("a place")).collect();
    // Each of them has something under way, as far as they can, and the one that comes has not asked yet.
    let _busy: Vec<_> = flood.iter().map(|place| place.visit()).collect();
    let supervisor = room.enter(SUPERVISOR).expect("a place of the flood's");
    for _ in 0..1000 {
        flood.push(room.enter(FLOOD).expect("a place of its own"));
        assert!(!is_displaced(&supervisor));
    }
    // A second one before the first has said who it is, and before it is known to have gone.
    let second = room.enter(SUPERVISOR).expect("a place of the flood's");
    flood.push(room.enter(FLOOD).expect("a place of its own"));
    assert!(!is_displaced(&supervisor) && !is_displaced(&second));
    let open = flood.iter().filter(|place| room.inside().connections.contains_key(&place.id)).count();
    assert_eq!(open, 6);
}

#[test]
fn a_large_room_is_as_fair_as_a_small_one() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(1024)), usize::MAX));
    let flood: Vec<_> = (0..3000).map(|_| room.enter(FLOOD).expect("a place")).collect();
    let others: Vec<_> = (0..100).map(|_| room.enter(SUPERVISOR).expect("a place")).collect();
    let again: Vec<_> = (0..3000).map(|_| room.enter(FLOOD).expect("a place")).collect();
    assert!(others.iter().all(|place| !is_displaced(place)));
    assert_eq!(room.inside().connections.len(), 1024);
    drop((flood, others, again));
    assert_eq!(room.inside().connections.len(), 0);
}

#[test]
fn no_more_are_leaving_than_the_room_holds() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(4)), usize::MAX));
    let known = room.enter(FLOOD).expect("a place");
    known.guest().welcome();
    let strangers: Vec<_> = (0..100).map(|_| room.enter(FLOOD).expect("a place")).collect();
    assert_eq!(room.inside().leaving.len(), 4);
    let cut = strangers.iter().filter(|place| is_cut(place)).count();
    assert_eq!(cut, 100 - 3 - 4, "whoever has left its place longest ago goes at once");
    assert!(!is_cut(&known));
    drop(strangers);
    assert_eq!(room.inside().leaving.len(), 0);
}

#[test]
fn of_those_that_are_known_the_newest_stay() {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(8)), 2));
    let all: Vec<_> = (0..4).map(|_| room.enter(SUPERVISOR).expect("a place")).collect();
    for place in &all {
        place.guest().welcome();
        // What is known already is not known anew.
        place.guest().welcome();
    }
    let cut: Vec<_> = all.iter().map(|place| is_cut(place)).collect();
    assert_eq!(cut, [true, true, false, false]);
    assert_eq!(room.inside().connections.len(), 2);
}
