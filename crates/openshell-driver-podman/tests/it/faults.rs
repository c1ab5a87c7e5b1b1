//! A service that fails at any single step: a create leaves nothing, and a delete is finished by the next one.

use openshell_driver_api::{SandboxRequest, Secret};
use serde_json::json;

use crate::bench::{Bench, ask, sandbox_id, socket, waiting};
use crate::proxy::{Failure, Proxy};

/// More steps than any operation has.
const MOST: usize = 60;

/// A sandbox that takes every step that there is: a network, a named volume, a named user, a token.
fn whole(id: &str) -> SandboxRequest {
    let mut request = waiting(id);
    request.spec.token = Secret::new("s3cret");
    ask(&mut request, json!({"mounts": [{"type": "volume", "target": "/data", "source": "data"}]}));
    request
}

const CONFIG: &str = "allow_volumes = true\nuser = 'sandbox'\nstop_timeout = 0";

/// Fails each request of a create in turn until it is one too many, and gives what a create asks of the service.
async fn creates(how: Failure, count: usize) -> Vec<String> {
    let Some(socket) = socket().await else { return Vec::new() };
    let proxy = Proxy::new(&socket);
    for step in 1..MOST {
        // Anew each time: a driver remembers users and the service's ways, and would ask for less.
        let bench = Bench::at(&proxy.socket, CONFIG).await;
        proxy.fail(step, count, how);
        let created = bench.driver.create(&whole("faulty")).await;
        let (seen, failed) = proxy.heal();
        if !failed {
            created.expect("nothing failed");
            assert!(bench.driver.delete(&sandbox_id("faulty")).await.expect("delete"));
            return seen;
        }
        let asked = &seen[step - 1];
        let error =
            created.err().unwrap_or_else(|| panic!("a create to which the service said no to `{asked}`"));
        let left = bench.leftovers().await;
        assert_eq!(left, Vec::<String>::new(), "{how:?} at step {step}, `{asked}`: {error}; after {seen:#?}");
    }
    panic!("a create of more than {MOST} steps");
}

#[tokio::test]
async fn a_create_that_is_refused_at_any_step_leaves_nothing() {
    let seen = creates(Failure::Refused, 1).await;
    if seen.is_empty() {
        return;
    }
    for step in
        ["/networks/create", "/volumes/create", "/secrets/create", "/containers/create", "/archive", "/start"]
    {
        assert!(seen.iter().any(|asked| asked.contains(step)), "`{step}` in {seen:#?}");
    }
}

#[tokio::test]
async fn a_create_that_loses_an_answer_leaves_nothing() {
    creates(Failure::Unheard, 1).await;
}

#[tokio::test]
async fn a_create_that_cannot_even_take_back_at_first_leaves_nothing() {
    creates(Failure::Refused, 3).await;
}

#[tokio::test]
async fn a_delete_that_fails_at_any_step_is_finished_by_the_next() {
    let Some(socket) = socket().await else { return };
    let proxy = Proxy::new(&socket);
    let bench = Bench::at(&proxy.socket, CONFIG).await;
    let id = sandbox_id("going");
    for how in [Failure::Refused, Failure::Unheard] {
        for step in 1..MOST {
            bench.driver.create(&waiting("going")).await.expect("create");
            proxy.fail(step, 1, how);
            let deleted = bench.driver.delete(&id).await;
            let (seen, failed) = proxy.heal();
            let again = bench.driver.delete(&id).await.expect("the service is well again");
            assert_eq!(bench.leftovers().await, Vec::<String>::new(), "{how:?} at step {step} of {seen:#?}");
            match deleted {
                Ok(deleted) => assert!(deleted && !again, "{how:?} at step {step} of {seen:#?}"),
                // Of what was not heard nobody can say whether it was done, and the last step may be the secret's, which
                // is gone already.
                Err(error) => assert!(failed, "{error} at step {step} of {seen:#?}"),
            }
            if !failed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_stop_and_a_start_that_fail_may_be_said_again() {
    let Some(socket) = socket().await else { return };
    let proxy = Proxy::new(&socket);
    let bench = Bench::at(&proxy.socket, CONFIG).await;
    let id = sandbox_id("again");
    bench.driver.create(&whole("again")).await.expect("create");
    for how in [Failure::Refused, Failure::Unheard] {
        for step in 1..MOST {
            proxy.fail(step, 1, how);
            let _ = bench.driver.stop(&id).await;
            let (_, stop_failed) = proxy.heal();
            bench.driver.stop(&id).await.expect("stop");
            bench.until("again", "Stopped").await;
            proxy.fail(step, 1, how);
            let _ = bench.driver.start(&id).await;
            let (_, start_failed) = proxy.heal();
            bench.driver.start(&id).await.expect("start");
            bench.until("again", "Running").await;
            if !stop_failed && !start_failed {
                break;
            }
        }
    }
    assert!(bench.driver.delete(&id).await.expect("delete"));
}
