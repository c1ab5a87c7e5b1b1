//! What a sandbox is and is given, as it sees it itself: its exact argv, its variables, its token, its workspace, and what
//! it may not do.

use openshell_driver_api::Secret;

use crate::bench::{Bench, ready, request};

/// Ends with 7 when all of it is so, and else with the number of the first line that is not.
const LOOK: &str = r#"
[ "$1" = 'a $(HOME) $$ "b"' ] || exit 11
[ "$#" = 2 ] && [ -z "$2" ] || exit 12
[ "$KEY" = 's3 $(HOME) $$' ] || exit 13
[ "$(cat "$OPENSHELL_SANDBOX_TOKEN_FILE")" = t0ken ] || exit 14
[ "$PWD" = /sandbox ] || exit 15
[ "$(id -u):$(id -g)" = 1000:1000 ] || exit 16
touch /sandbox/mine || exit 17
touch /outside 2>/dev/null && exit 18
grep -q '^CapEff:.*0000000000000000$' /proc/self/status || exit 19
grep -q '^CapBnd:.*0000000000000000$' /proc/self/status || exit 20
grep -q '^NoNewPrivs:.*1$' /proc/self/status || exit 21
grep -q '^Seccomp:.*2$' /proc/self/status || exit 22
[ -e /var/run/secrets ] && exit 23
env | grep '^[A-Z_]*_SERVICE_HOST=' | grep -qv '^KUBERNETES_' && exit 24
[ "$(hostname)" = name-of-look ] || exit 25
echo x > "$OPENSHELL_SANDBOX_TOKEN_FILE" 2>/dev/null && exit 26
exit 7
"#;

#[tokio::test]
async fn a_sandbox_sees_itself_as_it_was_asked_for() {
    let Some(bench) = Bench::new("").await else { return };
    let mut wanted = request("look", &["/bin/sh", "-c", LOOK, "sh", "a $(HOME) $$ \"b\"", ""]);
    wanted.spec.token = Secret::new("t0ken");
    wanted.spec.environment = [("KEY".to_owned(), "s3 $(HOME) $$".to_owned())].into();
    bench.driver.create(&wanted).await.expect("a sandbox");
    let ended = bench.until("look", "ContainerExited").await;
    let said = &ready(&ended).message;
    assert!(said.ends_with("exit code 7"), "{said}");
    bench.driver.delete(&wanted.id).await.expect("it goes");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

/// What does not let itself be written, and what does all the same.
#[tokio::test]
async fn a_root_that_cannot_be_written() {
    let Some(bench) = Bench::new("read_only_root = true\nephemeral = true").await else { return };
    let look = "touch /etc/x 2>/dev/null && exit 1; touch /sandbox/x && touch /tmp/x && exit 7";
    let wanted = request("look", &["/bin/sh", "-c", look]);
    bench.driver.create(&wanted).await.expect("a sandbox");
    let ended = bench.until("look", "ContainerExited").await;
    let said = &ready(&ended).message;
    assert!(said.ends_with("exit code 7"), "{said}");
    bench.driver.delete(&wanted.id).await.expect("it goes");
}
