//! The warehouse on a PostgreSQL that speaks TLS with a certificate made here: what each `sslmode` lets through, and over what.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use analytica::config::{Delivery, Migrate, OnConflict, Resolved, SinkSettings, WarehouseSink};
use analytica::pipeline::{ColumnType, Target};
use analytica::sinks::{Blame, Refusal, Verdict};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use super::tls::certificate;
use super::{connect, definition, deliver, table};

/// Takes anybody from here; `shy` over TLS alone.
const WHO_MAY: &str = "hostnossl all shy all reject\nhost all all all trust\n";

/// A server of this test's own; it ends with the test.
struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        // The server runs as another user where we are root, and must get to its folder
        permit(folder.path(), 0o755);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        own(&data);
        let data = data.display().to_string();
        run(program("initdb").args(["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]));
        let (key, certificate) = certificate();
        let files = [
            ("server.key", key.private_key_to_pem_pkcs8().expect("PEM")),
            ("server.crt", certificate.to_pem().expect("PEM")),
            ("pg_hba.conf", WHO_MAY.into()),
        ];
        for (name, content) in files {
            let path = Path::new(&data).join(name);
            std::fs::write(&path, content).expect("written");
            permit(&path, 0o600);
            own(&path);
        }
        std::fs::write(folder.path().join("ca.pem"), certificate.to_pem().expect("PEM")).expect("written");
        let settings = format!("-D {data} -p {port} -h 127.0.0.1 -k {data} -c ssl=on -c fsync=off");
        let process = program("postgres").args(settings.split(' ')).spawn().expect("postgres starts");
        let server = Server { process, port, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        // it listens before it takes anybody
        while !program("pg_isready").args(["-h", "127.0.0.1", "-p", &port.to_string()]).status().expect("pg_isready starts").success() {
            assert!(Instant::now() < deadline, "the server takes nobody");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown: its children go with it
        let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode is set");
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().expect("id").stdout == b"0\n"
}

/// It refuses to run as root, and its key must be its own.
fn own(path: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(path));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program of the server's, which Debian keeps out of PATH, as the user that it may run as.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(versions).collect();
    let found = folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    let found = found.unwrap_or_else(|| panic!("no {name} found: install PostgreSQL (Debian: postgresql)"));
    let mut command = Command::new(if is_root() { Path::new("setpriv") } else { &found });
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]).arg(found);
    }
    command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What comes of one delivery to that address.
async fn delivered(address: &str) -> Result<(), Refusal> {
    let events = table("events", &["id"], OnConflict::Ignore);
    let settings = SinkSettings::Warehouse(WarehouseSink { url: Resolved::new("${URL}", address), migrate: Migrate::Additive });
    let tables = vec![definition(&events, &[("id", ColumnType::Text)])];
    let sink = connect(&settings, tables, &Delivery::default(), Path::new("")).expect("good settings").expect("a sink");
    sink.prepare().await?;
    let verdicts = deliver(&sink, &Target::Table(events), &[&format!("{{\"id\":\"{address}\"}}")]).await;
    assert_eq!(verdicts, [Verdict::Delivered]);
    Ok(())
}

#[tokio::test]
async fn each_sslmode_trusts_whom_libpq_would() {
    let server = Server::start();
    let (port, authority) = (server.port, server.authority());
    let plain = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let (client, connection) = tokio_postgres::connect(&plain, NoTls).await.expect("it can be reached");
    tokio::spawn(connection);
    // Each row says over what it came
    let made = "CREATE ROLE shy LOGIN SUPERUSER;
        CREATE FUNCTION encrypted() RETURNS boolean LANGUAGE sql AS 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
        CREATE TABLE events (id text PRIMARY KEY, over_tls boolean DEFAULT encrypted())";
    client.batch_execute(made).await.expect("a table");

    let address = |user: &str, host: &str, query: &str| format!("postgres://{user}@{host}:{port}/postgres?{query}");
    let root = |mode: &str| format!("sslmode={mode}&sslrootcert={authority}");
    // (who, where, how, whether over TLS; None: refused)
    let cases = [
        ("postgres", "127.0.0.1", "sslmode=disable".to_owned(), Some(false)),
        ("shy", "127.0.0.1", "sslmode=disable".to_owned(), None),
        ("shy", "127.0.0.1", String::new(), Some(true)),
        ("shy", "127.0.0.1", "sslmode=prefer".to_owned(), Some(true)),
        ("shy", "127.0.0.1", "sslmode=require".to_owned(), Some(true)),
        ("shy", "127.0.0.1", root("require"), Some(true)),
        ("shy", "127.0.0.1", "sslmode=verify-ca".to_owned(), None),
        ("shy", "127.0.0.1", root("verify-ca"), Some(true)),
        ("shy", "localhost", root("verify-ca"), Some(true)),
        ("shy", "127.0.0.1", root("verify-full"), Some(true)),
        ("shy", "localhost", root("verify-full"), None),
        ("shy", "127.0.0.1", "sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(), None),
    ];
    for (user, host, query, over_tls) in cases {
        let address = address(user, host, &query);
        let result = delivered(&address).await;
        match over_tls {
            None => {
                let refusal = result.expect_err(&address);
                assert_eq!(refusal.blame, Blame::Configuration, "{address}: {}", refusal.answer);
            }
            Some(over_tls) => {
                result.unwrap_or_else(|refusal| panic!("{address}: {}", refusal.answer));
                let row = client.query_one("SELECT over_tls FROM events WHERE id = $1", &[&address]).await.expect("its row");
                assert_eq!(row.get::<_, bool>(0), over_tls, "{address}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let url = std::env::var("POSTGRES_URL").expect("POSTGRES_URL names a PostgreSQL for the tests: scripts/test.sh starts one");
    let and = if url.contains('?') { '&' } else { '?' };
    for mode in ["require", "verify-ca", "verify-full"] {
        let refusal = delivered(&format!("{url}{and}sslmode={mode}")).await.expect_err(mode);
        assert_eq!(refusal.blame, Blame::Configuration, "{mode}: {}", refusal.answer);
    }
}
