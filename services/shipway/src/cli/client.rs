//! Finding Shipway and speaking to it.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use shipway_contracts::v1::{GetRunRequest, ListProjectsRequest, Page};
use shipway_contracts::v1::{
    Project, Run, accounts_client::AccountsClient, events_client::EventsClient,
    freezes_client::FreezesClient, history_client::HistoryClient, holds_client::HoldsClient,
    logs_client::LogsClient, pipelines_client::PipelinesClient, projects_client::ProjectsClient,
    rollbacks_client::RollbacksClient, runs_client::RunsClient, tokens_client::TokensClient,
    triggers_client::TriggersClient,
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{Failure, flags::Place};

/// Where the data folder's Shipway listens: written by `shipway up`.
#[derive(Debug, Deserialize)]
struct ServerFile {
    url: String,
    #[serde(default)]
    pid: u32,
}

/// A connection to Shipway.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Shipway's address, without a slash at the end.
    pub(crate) url: String,
    channel: Way,
}

/// The way to Shipway's services, with the caller's token.
pub(crate) type Way = InterceptedService<Channel, Bearer>;

/// What proves who is calling; nothing without a token.
#[derive(Clone)]
pub(crate) struct Bearer(Option<AsciiMetadataValue>);

impl Bearer {
    /// The token of a file, or else of the environment: never of the command line, which others can see.
    fn find(place: &Place) -> Result<Self, Failure> {
        let (token, from) = match &place.token_file {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| Failure::usage(format!("reading {}: {error}", file.display())))?;
                (text, file.display().to_string())
            }
            None => (env::var("SHIPWAY_TOKEN").unwrap_or_default(), "SHIPWAY_TOKEN".to_owned()),
        };
        match token.trim() {
            // Who names a file means a token.
            "" if place.token_file.is_none() => Ok(Self(None)),
            token => Self::of(token).ok_or_else(|| {
                Failure::usage(format!("{from} holds no token"))
                    .help("a token is one word, as `shipway token create` has shown it")
            }),
        }
    }

    fn of(token: &str) -> Option<Self> {
        let is_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let mut value: AsciiMetadataValue = format!("Bearer {token}").parse().ok().filter(|_| is_word)?;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer(…)" } else { "Bearer" })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// The most that one answer may hold.
const LIMIT: usize = 64 << 20;

impl Client {
    /// Finds Shipway and connects to it.
    pub(crate) async fn connect(place: &Place) -> Result<Self, Failure> {
        let bearer = Bearer::find(place)?;
        let found = find(place)?;
        let endpoint = Endpoint::from_shared(found.url.clone())
            .map_err(|error| {
                Failure::usage(format!("`{}` is no address: {error}", found.url))
                    .help("an address is like http://127.0.0.1:7400")
            })?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10));
        let channel = endpoint.connect().await.map_err(|error| found.silent(&chain(&error)))?;
        let channel = InterceptedService::new(channel, bearer);
        Ok(Self { url: found.url.trim_end_matches('/').to_owned(), channel })
    }

    pub(crate) fn projects(&self) -> ProjectsClient<Way> {
        ProjectsClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn accounts(&self) -> AccountsClient<Way> {
        AccountsClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn tokens(&self) -> TokensClient<Way> {
        TokensClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn pipelines(&self) -> PipelinesClient<Way> {
        PipelinesClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn holds(&self) -> HoldsClient<Way> {
        HoldsClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn freezes(&self) -> FreezesClient<Way> {
        FreezesClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn runs(&self) -> RunsClient<Way> {
        RunsClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn rollbacks(&self) -> RollbacksClient<Way> {
        RollbacksClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn history(&self) -> HistoryClient<Way> {
        HistoryClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn events(&self) -> EventsClient<Way> {
        EventsClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn logs(&self) -> LogsClient<Way> {
        LogsClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    pub(crate) fn triggers(&self) -> TriggersClient<Way> {
        TriggersClient::new(self.channel.clone()).max_decoding_message_size(LIMIT)
    }

    /// The run of that name: an id, the beginning of one, `@latest` or `@failed`.
    pub(crate) async fn run(&self, name: &str) -> Result<Run, Failure> {
        let request = GetRunRequest { run: name.to_owned() };
        let found = self.runs().get_run(request).await.map_err(|status| {
            let missing = status.code() == tonic::Code::NotFound;
            let failure = Failure::from(status);
            if missing { failure.help("`shipway runs` lists them, newest first") } else { failure }
        })?;
        Ok(found.into_inner())
    }

    /// Every project.
    pub(crate) async fn all_projects(&self) -> Result<Vec<Project>, Failure> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = Some(Page { after, limit: 500 });
            let reply = self.projects().list_projects(ListProjectsRequest { page }).await?.into_inner();
            all.extend(reply.projects);
            if reply.next.is_empty() {
                return Ok(all);
            }
            after = reply.next;
        }
    }

    /// The project named, or the only one there is.
    pub(crate) async fn the_project(&self, named: Option<&str>) -> Result<String, Failure> {
        if let Some(name) = named {
            return Ok(name.to_owned());
        }
        let projects = self.all_projects().await?;
        match projects.as_slice() {
            [only] => Ok(only.slug.clone()),
            [] => Err(Failure::new("there is no project yet").help("`shipway apply -f <file>` makes one")),
            many => {
                let names: Vec<_> = many.iter().map(|project| project.slug.as_str()).collect();
                Err(Failure::usage("which project?").help(format!("add --project: {}", names.join(", "))))
            }
        }
    }
}

struct Found {
    url: String,
    pid: Option<u32>,
    file: Option<PathBuf>,
}

impl Found {
    fn silent(&self, why: &str) -> Failure {
        let failure = Failure::new(format!("Shipway at {} does not answer: {why}", self.url));
        match (&self.file, self.pid) {
            (Some(file), Some(pid)) => failure.help(format!(
                "{} says that it ran there as process {pid}; `shipway up` starts it again",
                file.display()
            )),
            _ => failure.help("is the address right, and is it running?"),
        }
    }
}

fn find(place: &Place) -> Result<Found, Failure> {
    if let Some(url) = &place.server {
        let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        return Ok(Found { url, pid: None, file: None });
    }
    let file = match &place.data {
        Some(folder) => folder.join("server.json"),
        None => search(&env::current_dir()?)?,
    };
    let text = fs::read_to_string(&file).map_err(|error| {
        Failure::new(format!("no Shipway has been started in {}: {error}", folder_of(&file).display()))
            .help("`shipway up` starts one; `--server URL` names one that runs elsewhere")
    })?;
    let server: ServerFile = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{} is damaged: {error}", file.display())))?;
    Ok(Found { url: server.url, pid: Some(server.pid), file: Some(file) })
}

/// The data folder of the Shipway that is meant.
pub(crate) fn data_folder(place: &Place) -> Result<PathBuf, Failure> {
    match &place.data {
        Some(folder) => Ok(folder.clone()),
        None => Ok(folder_of(&search(&env::current_dir()?)?).to_owned()),
    }
}

fn search(from: &Path) -> Result<PathBuf, Failure> {
    from.ancestors().map(|folder| folder.join(".shipway/server.json")).find(|file| file.is_file()).ok_or_else(
        || {
            Failure::new(format!("no Shipway found: no .shipway/server.json in {} or above", from.display()))
                .help("`shipway up` starts one here; `--data FOLDER` or `--server URL` names another")
        },
    )
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_found_from_below() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        assert!(search(&deep).unwrap_err().to_string().contains("no Shipway found"));
        fs::create_dir(root.path().join(".shipway")).unwrap();
        fs::write(root.path().join(".shipway/server.json"), r#"{"url":"http://127.0.0.1:1"}"#).unwrap();
        assert_eq!(search(&deep).unwrap(), root.path().join(".shipway/server.json"));
    }

    #[test]
    fn a_server_needs_no_scheme() {
        let place = Place { server: Some("127.0.0.1:7400".to_owned()), ..Place::default() };
        assert_eq!(find(&place).ok().unwrap().url, "http://127.0.0.1:7400");
    }

    #[test]
    fn a_missing_server_file_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let place = Place { data: Some(root.path().to_owned()), ..Place::default() };
        assert!(find(&place).err().unwrap().to_string().contains("no Shipway has been started"));
    }

    #[test]
    fn a_token_comes_from_a_file_and_is_never_shown() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("token");
        let place = Place { token_file: Some(file.clone()), ..Place::default() };
        assert!(Bearer::find(&place).is_err(), "who names a file means a token");
        for (text, fits) in [("shipway_ab\n", true), ("", false), ("two words", false)] {
            fs::write(&file, text).unwrap();
            assert_eq!(Bearer::find(&place).is_ok(), fits, "{text:?}");
        }
        let mut bearer = Bearer::of("shipway_ab").unwrap();
        assert!(!format!("{bearer:?}").contains("shipway_ab"));
        let request = bearer.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer shipway_ab");
        assert!(!format!("{request:?}").contains("shipway_ab"));
    }
}
