//! What a sandbox reaches, tried with real traffic.

use std::io::Write;
use std::net::TcpListener;

use bollard::models::NetworkCreateRequest;
use serde_json::json;

use crate::bench::{Bench, ask, request, sandbox_id};

/// Answers whoever calls, one after the other.
const SERVE: &str = "while true; do echo hello | nc -l -p 8080; done";

/// The address of a sandbox on its only network.
async fn address(bench: &Bench, id: &str) -> String {
    let settings = bench.inspect(id).await.network_settings.expect("settings");
    let networks = settings.networks.expect("networks");
    networks.into_values().find_map(|endpoint| endpoint.ip_address).expect("an address")
}

/// What a sandbox hears from an address: nothing when it does not get there.
async fn hears(bench: &Bench, id: &str, address: &str, port: u16) -> String {
    let call = format!("nc -w 2 {address} {port} </dev/null 2>&1 || echo nothing");
    bench.driver.create(&request(id, &["sh", "-c", &call])).await.expect("create");
    bench.until(id, "ContainerExited").await;
    let output = bench.output(id).await;
    assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
    output
}

#[tokio::test]
async fn sandboxes_do_not_reach_each_other_nor_another_gateway_s() {
    let (Some(bench), Some(other)) = (Bench::new("").await, Bench::new("").await) else { return };
    let own = format!("({SERVE}) & sleep 1; i=$(hostname -i); nc -w 2 $i 8080 </dev/null; exec sleep 300");
    bench.driver.create(&request("server", &["sh", "-c", &own])).await.expect("create");
    let server = address(&bench, "server").await;
    assert!(!server.is_empty());
    // The server does answer: itself, it hears.
    let deadline = tokio::time::Instant::now() + crate::bench::PATIENCE;
    while bench.output("server").await != "hello\n" {
        assert!(tokio::time::Instant::now() < deadline, "{}", bench.output("server").await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let neighbour = hears(&bench, "neighbour", &server, 8080).await;
    assert!(neighbour.ends_with("nothing\n"), "{neighbour}");
    let stranger = hears(&other, "stranger", &server, 8080).await;
    assert!(stranger.ends_with("nothing\n"), "{stranger}");
}

#[tokio::test]
async fn the_host_s_loopback_is_not_reached() {
    let Some(bench) = Bench::new("").await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"of the host\n");
        }
    });
    bench.driver.create(&request("keeps-it", &["sleep", "300"])).await.expect("create");
    let settings = bench.inspect("keeps-it").await.network_settings.expect("settings");
    let host = settings.networks.expect("networks").into_values().find_map(|endpoint| endpoint.gateway);
    for address in ["127.0.0.1", &host.expect("the host's address")] {
        let heard = hears(&bench, "caller", address, port).await;
        assert!(heard.ends_with("nothing\n"), "{address}: {heard}");
    }
}

#[tokio::test]
async fn a_request_chooses_among_what_is_listed() {
    let Some(first) = Bench::new("").await else { return };
    let name = format!("openshell-test-{}", first.gateway_id);
    let made = NetworkCreateRequest { name: name.clone(), ..NetworkCreateRequest::default() };
    let network = first.docker.create_network(made).await.expect("a network").id;
    let bench = Bench::new(&format!("networks = ['{name}']")).await.expect("the engine that was there");
    let mut chosen = request("chosen", &["sleep", "300"]);
    ask(&mut chosen, json!({ "network": name }));
    bench.driver.create(&chosen).await.expect("create");
    let settings = bench.inspect("chosen").await.network_settings.expect("settings");
    let joined: Vec<String> = settings.networks.expect("networks").into_keys().collect();
    let mut alone = request("alone", &["sh", "-c", "ls /sys/class/net"]);
    ask(&mut alone, json!({"network": "none"}));
    bench.driver.create(&alone).await.expect("create");
    bench.until("alone", "ContainerExited").await;
    let interfaces = bench.output("alone").await;
    for id in ["chosen", "alone"] {
        // A stop and a start keep to it.
        bench.driver.stop(&sandbox_id(id)).await.expect("stop");
        bench.driver.start(&sandbox_id(id)).await.expect("start");
        assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
    }
    let kept = first.docker.remove_network(&network).await;
    assert_eq!((joined, interfaces.as_str()), (vec![name], "lo\n"));
    kept.expect("the operator's network is there still");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}
