//! Who appends to a node's log.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use shipway_events::{Fence, RunId};

use super::{
    Kind, NodeLogError, NodeLogs, Record,
    chunk::{self, Header, Name},
    failed, folder,
};

/// Where a log ends: what the next record gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Its number.
    pub record: u64,
    /// The bytes before it.
    pub offset: u64,
}

impl End {
    fn plus(self, header: &Header) -> Self {
        Self { record: self.record + header.records, offset: self.offset + header.bytes }
    }
}

/// Where records come from: a file of the writer's machine, and how far it is stored with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The attempt that the file belongs to.
    pub fence: Fence,
    /// Bytes of the file.
    pub until: u64,
}

/// Appends to one node's log.
#[derive(Debug)]
pub struct NodeLogWriter {
    logs: NodeLogs,
    run: RunId,
    node: u32,
    host: String,
    end: End,
    full: bool,
    stored: BTreeMap<u64, u64>,
    opened: bool,
}

impl NodeLogWriter {
    pub(super) fn new(logs: NodeLogs, run: RunId, node: u32, host: String) -> Self {
        let (end, stored) = (End::default(), BTreeMap::new());
        Self { logs, run, node, host, end, full: false, stored, opened: false }
    }

    /// Finds the log's end, and how far this host's own files are stored. Does nothing the second time.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(&mut self) -> Result<(), NodeLogError> {
        if self.opened {
            return Ok(());
        }
        let chunks = self.logs.chunks(self.run, self.node, 0).await?;
        let mut names = chunks.names.into_iter().rev();
        if let Some(last) = names.next() {
            let header = self.header(last).await?;
            (self.end, self.full) = (last.end.plus(&header), header.full);
            let mut own = (header.host == self.host).then_some(header);
            while let (None, Some(name)) = (&own, names.next()) {
                own = Some(self.header(name).await?).filter(|header| header.host == self.host);
            }
            // Each of a host's chunks says all that it has stored.
            self.stored.extend(own.into_iter().flat_map(|header| header.stored));
        }
        self.opened = true;
        Ok(())
    }

    /// Where the next record will stand.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    /// The log has reached its limit, and nothing more is appended.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// How many bytes of its own file of that attempt this host has stored.
    #[must_use]
    pub fn stored(&self, fence: Fence) -> u64 {
        self.stored.get(&fence.raw()).copied().unwrap_or(0)
    }

    /// Stores records at the end; gives where the first of them stands. If it fails, nothing is stored, and the
    /// same records can be stored again.
    ///
    /// # Errors
    /// If the store does not take them.
    pub async fn append(&mut self, source: Source, records: &[Record]) -> Result<End, NodeLogError> {
        self.open().await?;
        let mut stored = self.stored.clone();
        stored.insert(source.fence.raw(), source.until);
        let header = Header {
            host: self.host.clone(),
            stored,
            records: records.len() as u64,
            bytes: records.iter().map(Record::size).sum(),
            full: self.full || records.iter().any(|record| record.kind == Kind::Full),
        };
        loop {
            let name = Name::chunk(self.end);
            let encoded = chunk::encode(&header, records);
            let encoded = encoded.map_err(|error| NodeLogError::Damaged {
                name: name.to_string(),
                reason: error.to_string(),
            })?;
            if self.put(name, encoded.into()).await? {
                let first = self.end;
                self.end = self.end.plus(&header);
                (self.full, self.stored) = (header.full, header.stored);
                return Ok(first);
            }
            // Another has these numbers, or this host itself, whose store answered too late.
            let there = self.header(name).await?;
            let own = there == header;
            let first = self.end;
            self.end = self.end.plus(&there);
            if own {
                (self.full, self.stored) = (header.full, header.stored);
                return Ok(first);
            }
        }
    }

    /// Says that the log is complete as it is, until an attempt that comes later appends to it.
    ///
    /// # Errors
    /// If the store does not take it.
    pub async fn close(&mut self) -> Result<(), NodeLogError> {
        self.open().await?;
        self.put(Name { end: self.end, closes: true }, Bytes::new()).await.map(|_| ())
    }

    /// False when the name is taken.
    async fn put(&self, name: Name, content: Bytes) -> Result<bool, NodeLogError> {
        let key = folder(self.run, self.node).join(name.to_string());
        let options = PutOptions::from(PutMode::Create);
        match self.logs.store.put_opts(&key, content.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(failed("storing a log's chunk")(error)),
        }
    }

    async fn header(&self, name: Name) -> Result<Header, NodeLogError> {
        let key = folder(self.run, self.node).join(name.to_string());
        let attempting = "reading a log's chunk";
        let found = self.logs.store.get(&key).await.map_err(failed(attempting))?;
        let bytes = found.bytes().await.map_err(failed(attempting))?;
        chunk::decode(name, &bytes).map(|(header, _)| header)
    }
}
