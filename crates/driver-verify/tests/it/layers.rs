//! Each layer goes red alone, and a clean build is not accused.

use driver_verify::{Answer, CrateId, Evidence, Finding, Layer, Outcome, SelfReport, judge};

use crate::fixture::{Elf, Program};
use crate::scene::{
    COMPILED, EDGES, TRIPLE, built, clean, graph, leaking, of_file, outcome, question, units, unstripped,
};

fn findings(outcome: &Outcome) -> &[Finding] {
    outcome.findings()
}

#[test]
fn a_clean_build_is_clean() {
    for program in [clean(), unstripped(), clean().audit(&[("gateway", "0.1.0"), ("tracer", "4.0.0")])] {
        let file = program.elf();
        for evidence in [built(&file), Evidence::of_file(&file)] {
            let verdict = judge(&question(), &evidence);
            assert_eq!(verdict.reasons(), Vec::<String>::new());
            assert_eq!(verdict.exit_code(), 0);
        }
    }
}

#[test]
fn every_format_and_order_of_bytes_is_read() {
    let program = unstripped();
    let elf = |wide, big, machine| Elf { wide, big, machine, ..Elf::default() }.build(&program);
    let files = [
        (TRIPLE, elf(true, false, 62)),
        ("i686-unknown-linux-gnu", elf(false, false, 3)),
        ("s390x-unknown-linux-gnu", elf(true, true, 22)),
        ("powerpc-unknown-linux-gnu", elf(false, true, 20)),
        ("aarch64-unknown-linux-musl", elf(true, false, 183)),
        ("x86_64-pc-windows-msvc", clean().pe()),
        ("aarch64-apple-darwin", clean().macho()),
    ];
    for (triple, file) in files {
        let mut question = question();
        question.triple = Some(triple.to_owned());
        let verdict = judge(&question, &Evidence::of_file(&file));
        assert_eq!(verdict.reasons(), Vec::<String>::new(), "{triple}");
        let facts = verdict.file.unwrap();
        assert_eq!(facts.markers, ["arm:moon", "crate:driver-moon"], "{triple}");
        assert_eq!(facts.report.unwrap().drivers, ["moon"], "{triple}");
    }
}

#[test]
fn a_leak_in_every_format() {
    let program = clean().marker("arm:sun").text("/x/sunlight-2.1.0/src/lib.rs");
    for file in [program.elf(), program.pe(), program.macho()] {
        let mut question = question();
        question.triple = None;
        let verdict = judge(&question, &Evidence::of_file(&file));
        assert_eq!(leaking(&verdict), [Layer::Marker, Layer::Bytes]);
        let [finding] = findings(outcome(&verdict, "sun", Layer::Bytes)) else { panic!("one finding") };
        assert!(finding.what.starts_with("`sunlight-2.1.0/src/lib.rs` at "), "{finding}");
        assert!(finding.what.contains("rodata+0x"), "{finding}");
    }
}

/// `<sunlight::Client as core::fmt::Debug>::fmt`
fn legacy_type() -> String {
    let part = "_$LT$sunlight..Client$u20$as$u20$core..fmt..Debug$GT$";
    format!("_ZN{}{part}3fmt17h0123456789abcdefE", part.len())
}

#[test]
fn planted_in_the_file_seen_by_one_layer() {
    let plants: &[(&str, Program, Layer)] = &[
        ("an arm", clean().marker("arm:sun"), Layer::Marker),
        ("a crate's marker", clean().marker("crate:driver-sun"), Layer::Marker),
        ("the SDK, from the registry", clean().text("/x/sunlight-2.1.0/src/lib.rs"), Layer::Bytes),
        ("the SDK, paths trimmed", clean().text("sunlight-2.1.0/src/lib.rs"), Layer::Bytes),
        ("the SDK, another version", clean().text("/x/sunlight-1.9.0/src/lib.rs"), Layer::Bytes),
        ("the SDK, vendored", clean().text("vendor/sunlight/src/lib.rs"), Layer::Bytes),
        ("the SDK, vendored elsewhere", clean().text("/b/third-party/sunlight/src/lib.rs"), Layer::Bytes),
        ("the SDK, built on Windows", clean().text("C:\\x\\sunlight-2.1.0\\src\\lib.rs"), Layer::Bytes),
        ("the SDK's modules", clean().text(" sunlight::client "), Layer::Bytes),
        ("what the SDK brings", clean().text("/x/rays-0.3.1/src/lib.rs"), Layer::Bytes),
        ("what the SDK brings, one of two versions", clean().text("/x/base-2.0.0/src/lib.rs"), Layer::Bytes),
        ("the driver's path", clean().text("crates/driver-sun/src/lib.rs"), Layer::Bytes),
        ("a learned text", clean().text("the sun did not answer"), Layer::Bytes),
        ("a declared text", clean().text("SUN_SOCKET_PATH"), Layer::Bytes),
        ("behind the sections", clean(), Layer::Bytes),
        ("a function", unstripped().symbol("_ZN8sunlight6client17h0123456789abcdefE"), Layer::Symbols),
        ("a function, v0", unstripped().symbol("_RNvNtCs1234_8sunlight6client3new"), Layer::Symbols),
        ("a type", unstripped().symbol(&legacy_type()), Layer::Symbols),
    ];
    for (plant, program, layer) in plants {
        let mut file = program.elf();
        if *plant == "behind the sections" {
            file.extend(b"/x/sunlight-2.1.0/src/lib.rs");
        }
        for evidence in [built(&file), Evidence::of_file(&file)] {
            let verdict = judge(&question(), &evidence);
            assert_eq!(leaking(&verdict), [*layer], "{plant}");
            assert_eq!(verdict.answer(), Answer::Leak, "{plant}");
            assert!(verdict.leaks().all(|(row, ..)| row.target == "sun"), "{plant}");
        }
    }
}

/// Core that calls an owned SDK has it among its crates; that is no excuse for its functions.
#[test]
fn functions_of_an_owned_crate_are_a_leak_through_core_as_well() {
    let mut question = question();
    question.core.crates.push(CrateId::new("sunlight", Some("2.1.0")));
    let file = unstripped().symbol("_ZN8sunlight6client17h0123456789abcdefE").elf();
    let verdict = judge(&question, &Evidence::of_file(&file));
    assert_eq!(leaking(&verdict), [Layer::Symbols]);
    assert_eq!(verdict.answer(), Answer::Leak);
}

#[test]
fn what_only_looks_like_it_accuses_nobody() {
    let texts = [
        "/x/base-1.0.0/src/lib.rs",
        "vendor/base/src/lib.rs",
        "/x/xrays-0.3.1 is not a path",
        "/rust/deps/rays-0.3.1/src/lib.rs",
        "/rustc/59807616e1/library/rays/src/lib.rs",
        "sunlight::",
        "your::sunlight::x",
        "sunlight-2.1.0",
        "driver-sun and sunlight",
        "openshell-driver-sun",
    ];
    for text in texts {
        assert_eq!(of_file(&clean().text(text).elf()).reasons(), Vec::<String>::new(), "{text}");
    }
    let symbols = [
        "_ZN4core8sunlight3new17h0123456789abcdefE",
        "_ZN11my_sunlight3new17h0123456789abcdefE",
        "sunlight_of_another_language",
        "_ZN4base3new17h0123456789abcdefE",
    ];
    for symbol in symbols {
        let verdict = of_file(&unstripped().symbol(symbol).elf());
        assert_eq!(verdict.reasons(), Vec::<String>::new(), "{symbol}");
    }
}

#[test]
fn the_graph_shows_the_way_and_does_not_convict() {
    let file = clean().elf();
    let mut edges = EDGES.to_vec();
    edges.push(("tokio", &["driver-sun"]));
    let evidence = Evidence { graph: Some(graph(&edges)), ..built(&file) };
    let verdict = judge(&question(), &evidence);
    assert_eq!(leaking(&verdict), [Layer::Graph]);
    assert_eq!(verdict.answer(), Answer::CannotCertify);
    let ways: Vec<_> = findings(outcome(&verdict, "sun", Layer::Graph))
        .iter()
        .map(|finding| format!("{}: {}", finding.of, finding.path.join(" → ")))
        .collect();
    let expected = [
        "driver-sun@0.1.0: gateway → tokio → driver-sun",
        "sunlight@2.1.0: gateway → tokio → driver-sun → sunlight",
        "rays@0.3.1: gateway → tokio → driver-sun → sunlight → rays",
    ];
    assert_eq!(ways, expected);
}

#[test]
fn the_messages_convict_and_borrow_the_way() {
    let file = clean().elf();
    let mut compiled = units(COMPILED);
    compiled.extend(units(&["sunlight"]));
    let mut edges = EDGES.to_vec();
    edges.push(("tokio", &["sunlight"]));
    let evidence = Evidence { messages: Some(compiled), graph: Some(graph(&edges)), ..built(&file) };
    let verdict = judge(&question(), &evidence);
    assert_eq!(leaking(&verdict), [Layer::Graph, Layer::Messages]);
    assert_eq!(verdict.answer(), Answer::Leak);
    let [finding] = findings(outcome(&verdict, "sun", Layer::Messages)) else { panic!("one finding") };
    assert_eq!(
        finding.to_string(),
        "sunlight@2.1.0 compiled as lib with default (gateway → tokio → sunlight)"
    );
}

#[test]
fn a_crate_of_the_machine_that_builds_is_a_note() {
    let file = clean().elf();
    let mut compiled = units(COMPILED);
    compiled.extend(units(&["rays"]));
    for unit in compiled.iter_mut().filter(|unit| unit.name == "rays") {
        unit.host = true;
    }
    let verdict = judge(&question(), &Evidence { messages: Some(compiled), ..built(&file) });
    assert_eq!(verdict.answer(), Answer::Clean);
    assert_eq!(verdict.notes.len(), 1);
    assert!(verdict.notes[0].contains("rays@0.3.1"), "{:?}", verdict.notes);
}

#[test]
fn a_report_that_names_it_keeps_the_file_from_being_certified() {
    let verdict = of_file(&clean().report(&["moon", "sun"], &["trace", "echo"]).elf());
    assert_eq!(leaking(&verdict), [Layer::SelfReport]);
    assert_eq!(verdict.leaks().count(), 2);
    assert_eq!(verdict.answer(), Answer::CannotCertify);

    let said = SelfReport {
        schema: 1,
        drivers: vec!["moon".to_owned(), "sun".to_owned()],
        options: vec!["trace".to_owned()],
        version: "0.1.0".to_owned(),
    };
    let file = clean().elf();
    let verdict = judge(&question(), &Evidence { run: Some(said), ..Evidence::of_file(&file) });
    let [finding] = findings(outcome(&verdict, "sun", Layer::SelfReport)) else { panic!("one finding") };
    assert_eq!(finding.what, "`sun` in its own output");
}

#[test]
fn the_audit_section_is_a_note() {
    let file = clean().audit(&[("sunlight", "2.1.0"), ("tracer", "4.0.0")]).elf();
    let verdict = of_file(&file);
    assert!(matches!(outcome(&verdict, "sun", Layer::Audit), Outcome::Note(findings) if findings.len() == 1));
    assert_eq!(outcome(&verdict, "echo", Layer::Audit), &Outcome::Clean);
    assert_eq!(verdict.answer(), Answer::Clean);
}

#[test]
fn a_path_wins_over_symbols_that_are_gone() {
    let verdict = of_file(&clean().elf());
    assert!(
        matches!(outcome(&verdict, "sun", Layer::Symbols), Outcome::NotApplicable(why) if why.contains("stripped"))
    );
    let foreign = clean().symbol("_ZN5other4main17h0123456789abcdefE").elf();
    assert!(matches!(outcome(&of_file(&foreign), "sun", Layer::Symbols), Outcome::Blind(_)));
}

/// Of a file alone nobody knows how a crate came in; how it comes into a build that has its driver is known.
#[test]
fn a_leak_in_a_lone_file_is_explained_by_the_driver_that_was_left_out() {
    let package = |name: &str, version: &str, dependencies: &[usize]| driver_verify::Package {
        name: name.to_owned(),
        version: version.to_owned(),
        dependencies: dependencies.to_vec(),
    };
    // `mars` is nearer to `sunlight` than `sun` is, and is not asked about.
    let graph = driver_verify::Graph {
        root: 0,
        packages: vec![
            package("gateway", "0.1.0", &[1, 2]),
            package("mars", "1.0.0", &[4]),
            package("driver-sun", "0.1.0", &[3]),
            package("sky", "1.0.0", &[4]),
            package("sunlight", "2.1.0", &[]),
        ],
    };
    let mut verdict = of_file(&clean().text("/x/sunlight-2.1.0/src/lib.rs").marker("crate:driver-sun").elf());
    driver_verify::explain(&mut verdict, &question(), &[driver_verify::Graph::default(), graph]);
    let expected = "sun: builds that have it bring it by gateway → driver-sun → sky → sunlight";
    let reasons = verdict.reasons();
    assert_eq!(reasons.iter().filter(|reason| *reason == expected).count(), 1, "{reasons:?}");
    let ways: Vec<_> = verdict.leaks().map(|(_, layer, finding)| (layer, finding.would.join(" "))).collect();
    assert!(ways.contains(&(Layer::Marker, "gateway driver-sun".to_owned())), "{ways:?}");
}
