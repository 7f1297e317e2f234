//! The house rules that a program can check. Each failure names the file, the line and the rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ratel_server::api::ROUTES;
use serde_json::Value;

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;

/// Functions that are longer than 70 lines, with the length they may not pass. A new one does not
/// come in; one that got shorter is entered with its new length or taken out.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// The only files that may say `unsafe`, each with its argument beside the word.
const UNSAFE_FILES: &[&str] = &["server/src/net/sendfile.rs", "storage/src/mmap.rs"];

/// The only file that reads the time.
const CLOCK_FILES: &[&str] = &["server/src/clock.rs"];

/// The only places of the program that open files: the disk seam, and what an operator hands to
/// the command line.
const FILE_FILES: &[&str] = &[
    "storage/src/mmap.rs",
    "server/src/cli/",
    "server/src/config",
    "storage/src/disk.rs",
];

/// Where the catalog's machine meets its runtime: the handle that others hold, and the shell that
/// acts for it. Not machines themselves.
const SHELLS: &[&str] = &[
    "server/src/coordinator/catalog/mod.rs",
    "server/src/coordinator/catalog/shell.rs",
];

/// Packages that the tree holds in two versions, because two of our dependencies ask for them.
const DUPLICATES: &[&str] = &["hashbrown", "syn"];

const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A folder and what its code never says (comments and unit tests may).
const NEVER: &[(&str, &[&str])] = &[
    (
        "protocol/src/",
        &["tokio", "ratel_storage", "std::fs", "std::net"],
    ),
    (
        "storage/src/",
        &["kafka_protocol", "ratel_protocol", "tokio::net"],
    ),
    (
        "storage/src/log/",
        &[
            "tokio",
            "async ",
            ".await",
            "std::thread",
            "Mutex",
            "RwLock",
        ],
    ),
    (
        "server/src/api/",
        &["Mutex", "RwLock", "spawn(", "tokio::time", "sleep("],
    ),
    ("server/src/coordinator/catalog/", MACHINE_NEVER),
    ("server/src/coordinator/group/", MACHINE_NEVER),
    ("server/src/coordinator/txn/", MACHINE_NEVER),
    ("server/src/coordinator/share/", MACHINE_NEVER),
];

/// What no machine says: it is a function of its state, an event and the time it is given.
const MACHINE_NEVER: &[&str] = &[
    "async ",
    ".await",
    "tokio",
    "Mutex",
    "RwLock",
    "Uuid::new_v4",
    "ratel_protocol::messages",
];

#[test]
fn lines_and_files_are_short() {
    let mut faults = Vec::new();
    for file in text_files() {
        let lines = file.text.lines().count();
        if file.is_rust() && lines > FILE_LINES_MAX {
            faults.push(format!(
                "{}: {lines} lines, {FILE_LINES_MAX} at most",
                file.name
            ));
        }
        if !file.is_code() {
            continue;
        }
        for (number, line) in numbered(&file.text) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                faults.push(format!("{}:{number}: {columns} columns", file.name));
            }
        }
    }
    report(&faults);
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for file in rust_files() {
        for (name, number, lines) in functions(&file.text) {
            let granted = LONG_FUNCTIONS
                .iter()
                .find(|(path, function, _)| *path == file.name && *function == name)
                .map_or(FUNCTION_LINES_MAX, |(_, _, lines)| *lines);
            if lines > granted {
                faults.push(format!("{}:{number}: {name} has {lines} lines", file.name));
            }
        }
    }
    report(&faults);
}

#[test]
fn folders_keep_to_what_they_may_use() {
    let mut faults = Vec::new();
    for file in rust_files() {
        for (folder, words) in NEVER {
            if !file.name.starts_with(folder) || SHELLS.contains(&&*file.name) {
                continue;
            }
            for (number, line) in code_lines(&file) {
                for word in words.iter().filter(|word| line.contains(**word)) {
                    faults.push(format!("{}:{number}: {word:?} in {folder}", file.name));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn time_files_and_unsafe_stay_in_their_place() {
    let rules: [(&[&str], &[&str]); 3] = [
        (&["Instant::now", "SystemTime::now"], CLOCK_FILES),
        (
            &["std::fs", "File::open", "OpenOptions", "tokio::fs"],
            FILE_FILES,
        ),
        (&["unsafe ", "unsafe_code"], UNSAFE_FILES),
    ];
    let mut faults = Vec::new();
    for file in rust_files().filter(|file| !file.name.starts_with("integration/")) {
        for (words, places) in rules {
            if places.iter().any(|place| file.name.starts_with(place)) {
                continue;
            }
            for (number, line) in code_lines(&file) {
                if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                    faults.push(format!(
                        "{}:{number}: {word:?} only in {places:?}",
                        file.name
                    ));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn names_and_habits() {
    let mut faults = Vec::new();
    for file in rust_files() {
        if file.name == "integration/tests/tidy.rs" {
            continue;
        }
        let stem = Path::new(&file.name)
            .file_stem()
            .and_then(|stem| stem.to_str());
        if let Some("util" | "utils" | "helpers" | "common" | "misc" | "manager") = stem {
            faults.push(format!(
                "{}: a file is named after what it holds",
                file.name
            ));
        }
        for (number, line) in numbered(&file.text) {
            if let Some(habit) = bad_habit(line) {
                faults.push(format!("{}:{number}: {habit}", file.name));
            }
        }
    }
    report(&faults);
}

fn bad_habit(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default().trim();
    let declares = |prefix: &str| {
        code.split_once("fn ")
            .is_some_and(|(before, name)| !before.contains(['(', '"']) && name.starts_with(prefix))
    };
    if declares("get_") {
        Some("an accessor has no get_")
    } else if declares("do_") || declares("process_") || declares("process(") {
        Some("a function is named after what it does")
    } else if code.starts_with("use ") && code.ends_with("::*;") && !may_be_glob(code) {
        Some("no glob imports")
    } else if code == "#[ignore]" {
        Some("an ignored test gives its reason")
    } else if ["todo!(", "unimplemented!("]
        .iter()
        .any(|word| code.contains(word))
    {
        Some("nothing is left to be written")
    } else if ["FIXME", "XXX"].iter().any(|word| line.contains(word)) {
        Some("a note to ourselves is finished before it lands")
    } else if code.contains("Manager") && !code.contains('"') {
        Some("nothing is called a manager")
    } else {
        None
    }
}

/// A test may take all of what it tests, and a crate's prelude is made for it.
fn may_be_glob(code: &str) -> bool {
    code == "use super::*;" || code.ends_with("::prelude::*;")
}

#[test]
fn every_source_file_is_part_of_its_crate() {
    let files: Vec<SourceFile> = rust_files()
        .filter(|file| file.name.contains("/src/"))
        .collect();
    let faults: Vec<String> = files
        .iter()
        .filter(|file| !is_declared(file, &files))
        .map(|file| format!("{}: no `mod` line brings it in", file.name))
        .collect();
    report(&faults);
}

fn is_declared(file: &SourceFile, files: &[SourceFile]) -> bool {
    let path = Path::new(&file.name);
    let (Some(stem), Some(folder)) = (path.file_stem(), path.parent()) else {
        return false;
    };
    let (stem, folder) = (stem.to_string_lossy(), folder.to_string_lossy());
    if matches!(&*stem, "lib" | "main") && folder.ends_with("/src") || folder.contains("/src/bin") {
        return true;
    }
    let (module, parents) = if stem == "mod" {
        let (above, module) = folder.rsplit_once('/').unwrap_or(("", &folder));
        (module.to_owned(), above.to_owned())
    } else {
        (stem.into_owned(), folder.clone().into_owned())
    };
    let ways = ["mod.rs", "lib.rs", "main.rs"].map(|name| format!("{parents}/{name}"));
    let declaration = format!("mod {module};");
    files
        .iter()
        .filter(|other| ways.contains(&other.name) || other.name == format!("{parents}.rs"))
        .any(|other| other.text.contains(&declaration))
}

/// A file in `server/src/api/` opens with its contract, and the table says the same.
#[test]
fn api_files_open_with_their_contract() {
    let mut faults = Vec::new();
    for route in ROUTES {
        let name = format!("{:?}", route.key);
        let name = name.strip_suffix("Key").unwrap_or(&name);
        let path = format!("server/src/api/{}.rs", snake_case(name));
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            faults.push(format!("{path}: {name} has no file of its name"));
            continue;
        };
        let versions = match (route.version_min, route.version_max) {
            (min, max) if min == max => format!("version {min}"),
            (min, max) => format!("versions {min} to {max}"),
        };
        let contract = format!("//! {name} (key {}), {versions}:", route.key as i16);
        if !text.starts_with(&contract) {
            faults.push(format!("{path}: does not open with `{contract}`"));
        }
    }
    report(&faults);
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The rules of Kafka's semantics that are kept, by the letter of their chapter and their number.
/// Each has a test whose name says so: `p_15_a_repeated_batch_gets_its_first_offset`.
const CHECKLIST: &[(&str, u32)] = &[
    ("a", 10),
    ("d", 1),
    ("f", 13),
    ("g", 14),
    ("h", 10),
    ("l", 6),
    ("m", 6),
    ("net", 11),
    ("o", 11),
    ("p", 25),
    ("r", 4),
    ("ft", 10),
];

/// Rules without a test, and why.
const WITHOUT_TEST: &[(&str, &str)] = &[(
    "net_11",
    "allows what every answer does: a throttle time of 0",
)];

#[test]
fn every_rule_of_the_checklist_has_a_test_of_its_name() {
    let mut named = Vec::new();
    for file in rust_files() {
        for name in file
            .text
            .lines()
            .filter_map(function_name)
            .chain(macro_names(&file))
        {
            named.push(format!("_{name}_"));
        }
    }
    let mut faults = Vec::new();
    for (chapter, last) in CHECKLIST {
        for number in 1..=*last {
            let id = format!("{chapter}_{number}");
            let word = format!("_{id}_");
            let excused = WITHOUT_TEST.iter().any(|(rule, _)| *rule == id);
            if named.iter().any(|name| name.contains(&word)) == excused {
                let state = if excused {
                    "a test, and an excuse"
                } else {
                    "no test"
                };
                faults.push(format!("{id} has {state}"));
            }
        }
    }
    report(&faults);
}

/// Tests that a macro writes for each of the names it is given.
fn macro_names(file: &SourceFile) -> impl Iterator<Item = String> {
    let name = |line: &str| line.trim().strip_suffix(',').map(str::to_owned);
    file.text.lines().filter_map(name).filter(|name| {
        name.contains('_')
            && name
                .chars()
                .all(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

/// What comes from a registry is named by its package, never by where it was fetched from, and
/// nothing here depends on the machine it was written on.
#[test]
fn no_hosts_and_no_paths_of_one_machine() {
    // Each is written in two parts, so that this file does not name it.
    let banned = [
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("registry.npmjs", ".org"),
        ("repo1.maven", ".org"),
        ("repo.maven", ".apache.org"),
        ("proxy.golang", ".org"),
        ("static.crates", ".io"),
        ("index.crates", ".io"),
        ("deb.debian", ".org"),
        ("/work", "/"),
        ("/root", "/"),
    ];
    let mut faults = Vec::new();
    for file in text_files().filter(|file| file.name != "Cargo.lock") {
        for (number, line) in numbered(&file.text) {
            for (front, back) in banned {
                let word = format!("{front}{back}");
                if line.contains(&word) {
                    faults.push(format!("{}:{number}: {word:?}", file.name));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn dependencies_are_argued_for() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap_or_default();
    let argued: Vec<&str> = text
        .split("## Dependencies")
        .nth(1)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|names| names.split(", "))
        .collect();
    let mut faults = Vec::new();
    for package in ours(&metadata()) {
        for dependency in array(&package, "dependencies") {
            let name = string(dependency, "name");
            if !name.starts_with("ratel-") && !argued.contains(&name) {
                faults.push(format!(
                    "ARCHITECTURE.md: no line about {name} under Dependencies"
                ));
            }
        }
    }
    faults.sort();
    faults.dedup();
    report(&faults);
}

#[test]
fn licences_sources_and_duplicates() {
    let metadata = metadata();
    let packages = array(&metadata, "packages");
    let mut faults = Vec::new();
    let mut names: Vec<&str> = packages
        .iter()
        .map(|package| string(package, "name"))
        .collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        if !DUPLICATES.contains(&pair[0]) {
            faults.push(format!("{} is there in two versions", pair[0]));
        }
    }
    for package in packages {
        let name = string(package, "name");
        let source = &package["source"];
        if !source.is_null()
            && !source
                .as_str()
                .is_some_and(|from| from.starts_with("registry+"))
        {
            faults.push(format!("{name} comes from {source}"));
        }
        let licence = string(package, "license");
        if !licence_is_fine(licence) {
            faults.push(format!("{name} is under {licence:?}"));
        }
    }
    report(&faults);
}

/// Whether one of the alternatives asks for nothing but licences of the list.
fn licence_is_fine(expression: &str) -> bool {
    let parts = expression.replace(['(', ')'], "");
    // `(A OR B) AND C` is read as `A OR (B AND C)`: stricter or equal for the lists in use.
    parts
        .split(" OR ")
        .flat_map(|part| part.split('/'))
        .any(|alternative| {
            alternative
                .split(" AND ")
                .all(|licence| LICENCES.contains(&licence.trim()))
        })
}

#[test]
fn the_rules_find_what_they_look_for() {
    let text = "impl A {\n    pub async fn b(\n        c: u8,\n    ) {\n        d();\n    }\n}\n";
    assert_eq!(functions(text), [("b".to_owned(), 2, 5)]);
    assert_eq!(functions("fn a() {}\nfn b();\n"), [("a".to_owned(), 1, 1)]);
    assert_eq!(snake_case("ListOffsets"), "list_offsets");
    assert!(licence_is_fine("MIT OR GPL-3.0"));
    assert!(licence_is_fine("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!licence_is_fine("GPL-3.0"));
    assert!(!licence_is_fine("MIT AND GPL-3.0"));
    assert!(bad_habit("    pub fn get_it(&self) {").is_some());
    assert!(bad_habit("use std::io::*; // all of it").is_some());
    assert!(bad_habit("    todo!()").is_some());
    assert!(bad_habit("    pub fn target(&self) {").is_none());
    let file = SourceFile {
        name: "a.rs".into(),
        text: "use b; // tokio\n\n#[cfg(test)]\nmod tests {\n    use tokio;\n}\n".into(),
    };
    let code: Vec<(usize, &str)> = code_lines(&file).collect();
    assert_eq!(code, [(1, "use b; "), (2, "")]);
}

struct SourceFile {
    /// Relative to the root, with `/`.
    name: String,
    text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.has_extension(&["rs"])
    }

    /// Whether people write it line by line (a table in Markdown may be wide).
    fn is_code(&self) -> bool {
        self.has_extension(&["go", "java", "js", "mjs", "py", "rs", "sh"])
    }

    fn has_extension(&self, extensions: &[&str]) -> bool {
        Path::new(&self.name)
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| extensions.contains(&extension))
    }

    /// Whether the whole file is tests.
    fn is_test(&self) -> bool {
        self.name.contains("/tests/")
            || self.name.contains("/benches/")
            || self.name.ends_with("/tests.rs")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files() -> impl Iterator<Item = SourceFile> {
    text_files().filter(SourceFile::is_rust)
}

/// Every text file of the repository, in the order of names.
fn text_files() -> impl Iterator<Item = SourceFile> {
    let mut names = Vec::new();
    walk(&root(), &mut names);
    names.sort();
    assert!(names.len() > 20, "the walk finds the repository");
    names.into_iter().filter_map(|path| {
        let name = path
            .strip_prefix(root())
            .expect("a file lies under the root");
        let name = name.to_string_lossy().into_owned();
        fs::read_to_string(&path)
            .ok()
            .map(|text| SourceFile { name, text })
    })
}

/// What is built, fetched or written at run time is not part of the repository.
const OUTSIDE: &[&str] = &[
    ".git",
    ".work",
    "__pycache__",
    "corpus",
    "node_modules",
    "ratel-data",
    "target",
];

fn walk(folder: &Path, names: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if OUTSIDE.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, names);
        } else {
            names.push(path);
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The lines of the program itself, without comments and without the tests that close the file.
fn code_lines(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    numbered(&file.text)
        .take_while(|(_, line)| !file.is_test() && *line != "#[cfg(test)]")
        .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

/// Name, first line and number of lines of each function. The code is formatted, so a function
/// ends at the first line that closes a brace at its own indent.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let ends = |line: &&str| {
            line.len() - line.trim_start().len() == indent && line.ends_with(['}', ';'])
        };
        let length = lines[index..]
            .iter()
            .position(ends)
            .map_or(1, |more| more + 1);
        if lines[index..][length - 1].ends_with('}') {
            found.push((name, index + 1, length));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.trim_start();
    for word in [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const ",
        "async ",
        "unsafe ",
        "extern ",
    ] {
        words = words.strip_prefix(word).unwrap_or(words);
    }
    let name = words.strip_prefix("fn ")?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    Some(name[..end].to_owned())
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn ours(metadata: &Value) -> Vec<Value> {
    let is_ours = |package: &&Value| package["source"].is_null();
    array(metadata, "packages")
        .iter()
        .filter(is_ours)
        .cloned()
        .collect()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn report(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
