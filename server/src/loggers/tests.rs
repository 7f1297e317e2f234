use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;

fn set(logger: &str, level: &str) -> (String, Op, Option<String>) {
    (logger.into(), Op::Set, Some(level.into()))
}

fn delete(logger: &str) -> (String, Op, Option<String>) {
    (logger.into(), Op::Delete, None)
}

fn level(loggers: &Loggers, name: &str) -> Option<String> {
    let shown = loggers.shown();
    let logger = shown.into_iter().find(|logger| logger.name == name);
    logger.and_then(|logger| logger.value)
}

#[test]
fn a_logger_has_its_own_level_or_that_of_what_it_is_in() {
    let last = Arc::new(Mutex::new(None));
    let (loggers, first) = Loggers::parse("info,ratel_server::net=debug").expect("levels");
    let loggers = loggers.with_changes({
        let last = last.clone();
        move |targets| *last.lock().expect("no panic") = Some(targets)
    });
    assert!(first.would_enable("ratel_server::net::listen", &tracing::Level::DEBUG));
    let level = |name| level(&loggers, name).unwrap_or_default();
    let alter = |changes: Vec<_>| loggers.alter(&Changes::Each(changes), false);
    assert_eq!(level("root"), "INFO");
    assert_eq!(level("ratel_server.net"), "DEBUG");
    assert_eq!(level("ratel_storage.local"), "INFO");

    alter(vec![set("ratel_server", "FATAL"), set("root", "WARN")]).expect("altered");
    assert_eq!(level("ratel_server"), "FATAL");
    assert_eq!(level("ratel_server.catalog"), "FATAL");
    assert_eq!(level("ratel_server.net"), "DEBUG");
    assert_eq!(level("ratel_storage"), "WARN");
    let targets = last.lock().expect("no panic").take().expect("passed on");
    assert!(!targets.would_enable("ratel_server::catalog", &tracing::Level::ERROR));
    assert!(targets.would_enable("ratel_storage::local", &tracing::Level::WARN));
    assert!(!targets.would_enable("ratel_storage::local", &tracing::Level::INFO));

    alter(vec![delete("ratel_server"), delete("ratel_server.net")]).expect("altered");
    assert_eq!(level("ratel_server.net"), "WARN");
    // A logger that nothing names by itself any more is still there, and one without a level of
    // its own may lose it.
    alter(vec![delete("ratel_server.net")]).expect("altered");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    use ErrorCode::{InvalidConfig, InvalidRequest};
    let (loggers, _) = Loggers::parse("warn").expect("a level");
    let append = ("root".to_owned(), Op::Append, Some("INFO".to_owned()));
    let missing = ("root".to_owned(), Op::Set, None);
    let cases = [
        (set("kafka.server.KafkaApis", "INFO"), InvalidConfig),
        (delete("kafka"), InvalidConfig),
        (set("root", "info"), InvalidConfig),
        (set("root", "OFF"), InvalidConfig),
        (missing, InvalidRequest),
        (delete("root"), InvalidRequest),
        (append, InvalidRequest),
    ];
    for (change, code) in cases {
        let changes = Changes::Each(vec![set("ratel_server", "TRACE"), change]);
        let refusal = loggers.alter(&changes, false).expect_err("refused");
        assert_eq!(refusal.code, code, "{changes:?}");
        assert_eq!(level(&loggers, "ratel_server").as_deref(), Some("WARN"));
    }
    let replace = Changes::Replace([("root".to_owned(), "INFO".to_owned())].into());
    let refusal = loggers.alter(&replace, false).expect_err("refused");
    assert_eq!(refusal.code, InvalidRequest);
    let good = Changes::Each(vec![set("root", "TRACE")]);
    loggers.alter(&good, true).expect("it could be");
    assert_eq!(level(&loggers, "root").as_deref(), Some("WARN"));
}

#[test]
fn a_misspelt_level_is_refused() {
    for good in [
        "info",
        "WARN",
        "info,ratel_server::net=debug",
        "off",
        "a=info",
    ] {
        assert!(Loggers::parse(good).is_some(), "{good}");
    }
    for bad in [
        "warning",
        "",
        "info,debugg",
        "a=b=c",
        "ratel_server=loud",
        "=info",
    ] {
        assert!(Loggers::parse(bad).is_none(), "{bad}");
    }
}

/// Every file that logs is in one of the modules that have a logger.
#[test]
fn every_module_that_logs_has_a_logger() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the root");
    let mut folders: Vec<_> = [("ratel_server", "server"), ("ratel_storage", "storage")]
        .map(|(name, folder)| (name.to_owned(), root.join(folder).join("src")))
        .into();
    let mut missing = Vec::new();
    while let Some((module, folder)) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy();
            let module = match &*stem {
                "mod" | "lib" => module.clone(),
                stem => format!("{module}::{stem}"),
            };
            if path.is_dir() {
                folders.push((module, path));
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let levels = ["error!", "warn!", "info!", "debug!", "trace!"];
            let logs = levels
                .iter()
                .any(|level| text.contains(&format!("tracing::{level}")));
            let has =
                |logger: &str| logger.contains('.') && module.starts_with(&super::module(logger));
            if logs && !MODULES.iter().any(|logger| has(logger)) {
                missing.push(module);
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
