use super::*;

fn with_file(text: &str) -> Result<Loaded, Error> {
    merge(Some(("hopscope.toml", text)), [], &[])
}

fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn origin(loaded: &Loaded, name: &str) -> Option<(String, Origin)> {
    let row = loaded.effective.iter().find(|row| row.name == name)?;
    Some((row.value.clone(), row.origin))
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "data = 'from-file'\nlog = 'warn'\nbody_bytes_max = '1MiB'\n";
    let environment = [("HOPSCOPE_DATA", "from-env"), ("HOPSCOPE_LOG", "debug"), ("PATH", "/bin")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = merge(Some(("f", file)), environment, &flags(&[("data", "from-flag")])).expect("good");
    assert_eq!(origin(&loaded, "data"), Some(("\"from-flag\"".into(), Origin::Flag)));
    assert_eq!(origin(&loaded, "log"), Some(("\"debug\"".into(), Origin::Environment)));
    assert_eq!(origin(&loaded, "body_bytes_max"), Some(("\"1MiB\"".into(), Origin::File)));
    assert_eq!(origin(&loaded, "listen"), Some(("\"127.0.0.1:7400\"".into(), Origin::Default)));
    assert_eq!(loaded.config.body_bytes_max, 1 << 20);
}

/// Each wrong input, what is said and the hint with the next step.
#[test]
fn mistakes_are_told_with_the_next_step() {
    let cases: &[(&str, &str, &str)] = &[
        ("dta = 'x'", "no such setting name=dta", "did you mean data?"),
        ("otlp-http = '127.0.0.1:1'", "no such setting name=otlp-http", "did you mean otlp_http?"),
        ("zzzzzzzz = 1", "no such setting name=zzzzzzzz", "`hopscope config`"),
        ("listen = 'nowhere'", "wrong value setting=listen value=nowhere", "127.0.0.1:7400"),
        ("listen = '0.0.0.0:7400'", "no authentication", "--insecure"),
        ("body_bytes_max = 0", "setting=body_bytes_max", "at least 1"),
        ("body_bytes_max = 'lots'", "setting=body_bytes_max", "16MiB"),
        ("body_bytes_max = '1GiB'", "queue_bytes_max must hold", "raise"),
        ("insecure = 'perhaps'", "setting=insecure", "true or false"),
        ("redact_values = ['(']", "setting=redact_values", "regular expressions"),
        ("data = 1.5", "setting=data", "text"),
        ("listen =\n", "not TOML file=hopscope.toml line=1", ""),
    ];
    for (text, message, hint) in cases {
        let error = with_file(text).map(|_| ()).expect_err(text);
        assert_eq!(error.kind, ErrorKind::Usage, "{text}");
        assert!(error.message.contains(message), "{text}: {error}");
        assert!(error.hint().is_some_and(|told| told.contains(hint)), "{text}: {:?}", error.hint());
    }
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_warned_of() {
    let variables = [("HOPSCOPE_LISTN", "x"), ("HOPSCOPE_SERVICE_HOST", "10.0.0.1")];
    let loaded = merge(None, variables.map(|(a, b)| (a.to_owned(), b.to_owned())), &[]).expect("good");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("HOPSCOPE_LISTEN"));
}

#[test]
fn what_is_shown_can_be_read_back() {
    let file = "hosts = ['a', 'b']\nredact_values = ['\\d{16}, x']\ninsecure = true\nlisten = '0.0.0.0:1'\n\
                [cluster_aliases]\n'kafka@b:9092' = 'prod'\n";
    let loaded = with_file(file).expect("good");
    let text: String = loaded.effective.iter().map(|row| format!("{} = {}\n", row.name, row.value)).collect();
    assert_eq!(with_file(&text).expect("reads its own output").config, loaded.config);
}

const SOURCES: &str = "
[[receive_kafka]]
brokers = 'a:9092,b:9092'
topics = 'one, two'
security.protocol = 'sasl_plaintext'
'sasl.password' = 'hunter2'
[[receive_kafka]]
brokers = 'c:9092'
start = 'latest'
name = 'audit'
[receive_amqp]
url = 'amqps://guest:hunter2@rabbit:5671/%2f'
[[receive_nats]]
servers = 'nats://hunter2@a:4222,b:4222'
stream = 'HOPSCOPE'
";

#[test]
fn sources_are_tables_in_the_file_and_pairs_elsewhere() {
    let config = with_file(SOURCES).expect("good").config;
    let first = &config.receive_kafka[0];
    assert_eq!(first.topics, ["one", "two"]);
    assert_eq!(first.client["security.protocol"], "sasl_plaintext");
    assert_eq!((first.group.as_str(), first.start), (DEFAULT_GROUP, Start::Earliest));
    assert_eq!(config.receive_kafka[1].start, Start::Latest);
    assert_eq!(config.receive_amqp[0].queue, DEFAULT_TOPIC);

    let text = "brokers=a:9092,b:9092 topics=one,two security.protocol=sasl_plaintext sasl.password=hunter2; \
                brokers=c:9092 start=latest name=audit";
    let given = merge(None, [], &flags(&[("receive_kafka", text)])).expect("good").config;
    assert_eq!(given.receive_kafka, config.receive_kafka);
}

#[test]
fn passwords_of_sources_are_never_shown() {
    let loaded = with_file(SOURCES).expect("good");
    let shown = format!("{loaded:?}");
    assert!(shown.contains("rabbit:5671") && shown.contains("***@a:4222"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let wrong = [
        "[[receive_amqp]]\nurl = 'hunter2'",
        "[[receive_kafka]]\nbrokers = 'a'\n'sasl.password' = 'hunter2'\nstart = 'now'",
        "receive_nats = 'hunter2'",
    ];
    for text in wrong {
        let error = with_file(text).map(|_| ()).expect_err(text);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn wrong_sources_are_told() {
    let cases = [
        ("receive_kafka = 'topics=x'", "setting=receive_kafka"),
        ("receive_kafka = 'brokers=a enable.auto.commit=true'", "setting=receive_kafka"),
        ("receive_kafka = 'brokers=a gruop=x'", "setting=receive_kafka"),
        ("receive_kafka = 'brokers=a topics=x,,y'", "setting=receive_kafka"),
        ("receive_amqp = 'url=http://a'", "setting=receive_amqp"),
        ("receive_nats = 'servers=a tls_cert=x'", "setting=receive_nats"),
        ("receive_nats = 'servers=a name=x; servers=b name=x'", "name=x"),
        ("receive_nats = 'servers=a name=kafka'", "name=kafka"),
    ];
    for (text, message) in cases {
        let error = with_file(text).map(|_| ()).expect_err(text);
        assert_eq!(error.kind, ErrorKind::Usage, "{text}");
        assert!(error.message.contains(message), "{text}: {error}");
    }
    let many = "servers=a; ".repeat(SOURCES_MAX + 1);
    assert!(with_file(&format!("receive_nats = '{many}'")).is_err());
}

#[test]
fn the_reference_page_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, reference()).expect("docs/ is writable");
    }
    let committed = std::fs::read_to_string(&file).expect("docs/configuration.md");
    assert_eq!(committed, reference(), "rewrite it with UPDATE_EXPECT=1 cargo test -p hopscope-server");
}
