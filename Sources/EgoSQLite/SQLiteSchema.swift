import EgoCore

/// The tables of an Ego store in a SQLite file, and how they came to be.
///
/// All names start with `ego_`, so that a store and an application's own tables can share a file.
enum SQLiteSchema {
    /// The version that this program reads and writes.
    static let version = 3

    /// The steps from an empty database to ``version``; step `n` makes version `n + 1`.
    static let steps = [version1, version2, version3]

    private static let version1 = """
        CREATE TABLE ego_metadata (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE ego_names (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        );

        CREATE TABLE ego_entities (
            id INTEGER PRIMARY KEY,
            persistence_id TEXT NOT NULL UNIQUE,
            kind INTEGER REFERENCES ego_names,
            shard INTEGER NOT NULL,
            floor INTEGER NOT NULL DEFAULT 0
        );

        CREATE TABLE ego_events (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            entity INTEGER NOT NULL REFERENCES ego_entities,
            sequence_number INTEGER NOT NULL CHECK (sequence_number > 0),
            timestamp INTEGER NOT NULL,
            shard INTEGER NOT NULL,
            manifest INTEGER NOT NULL REFERENCES ego_names,
            flags INTEGER NOT NULL,
            encryption_key INTEGER REFERENCES ego_names,
            metadata BLOB,
            unknown_fields BLOB,
            payload BLOB NOT NULL
        );
        CREATE UNIQUE INDEX ego_events_stream ON ego_events (entity, sequence_number);

        CREATE TABLE ego_commands (
            entity INTEGER NOT NULL REFERENCES ego_entities,
            command_id TEXT NOT NULL,
            before INTEGER NOT NULL,
            after INTEGER NOT NULL,
            PRIMARY KEY (entity, command_id)
        ) WITHOUT ROWID;

        CREATE TABLE ego_snapshots (
            entity INTEGER NOT NULL REFERENCES ego_entities,
            sequence_number INTEGER NOT NULL,
            timestamp INTEGER NOT NULL,
            manifest INTEGER NOT NULL REFERENCES ego_names,
            flags INTEGER NOT NULL,
            encryption_key INTEGER REFERENCES ego_names,
            payload BLOB NOT NULL,
            PRIMARY KEY (entity, sequence_number)
        );

        CREATE TABLE ego_states (
            entity INTEGER PRIMARY KEY REFERENCES ego_entities,
            version INTEGER NOT NULL,
            timestamp INTEGER NOT NULL,
            manifest INTEGER NOT NULL REFERENCES ego_names,
            metadata BLOB,
            payload BLOB NOT NULL
        );

        CREATE TABLE ego_offsets (
            projection TEXT NOT NULL,
            shard INTEGER NOT NULL,
            position INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            timestamp INTEGER NOT NULL,
            PRIMARY KEY (projection, shard)
        ) WITHOUT ROWID;

        CREATE TABLE ego_keys (
            id TEXT PRIMARY KEY,
            persistence_id TEXT NOT NULL,
            wrapped BLOB,
            created_at INTEGER NOT NULL
        );
        CREATE INDEX ego_keys_entity ON ego_keys (persistence_id);

        CREATE TABLE ego_leases (
            name TEXT PRIMARY KEY,
            owner TEXT,
            generation INTEGER NOT NULL,
            acquired_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE ego_jobs (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            arguments TEXT NOT NULL,
            checkpoint TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        );

        CREATE TABLE ego_audit (
            number INTEGER PRIMARY KEY,
            timestamp INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            arguments TEXT NOT NULL,
            reason TEXT NOT NULL,
            result TEXT NOT NULL,
            previous_hash TEXT NOT NULL,
            hash TEXT NOT NULL
        );

        CREATE TABLE ego_tombstones (
            entity INTEGER PRIMARY KEY REFERENCES ego_entities,
            sequence_number INTEGER NOT NULL,
            erased_at INTEGER NOT NULL
        );

        CREATE TABLE ego_holds (
            persistence_id TEXT PRIMARY KEY,
            reason TEXT NOT NULL,
            placed_at INTEGER NOT NULL
        );
        """

    /// Projections with records, versions of read models, dead letters, and marks to count the journal by.
    private static let version2 = """
        CREATE TABLE ego_projections (
            name TEXT PRIMARY KEY,
            mode TEXT NOT NULL,
            active_version INTEGER NOT NULL,
            shadow_version INTEGER,
            previous_version INTEGER,
            revision INTEGER NOT NULL,
            details BLOB NOT NULL
        ) WITHOUT ROWID;
        INSERT INTO ego_projections SELECT DISTINCT projection, 'running', 1, NULL, NULL, 1, x'' FROM ego_offsets;

        CREATE TABLE ego_offsets_of_versions (
            projection TEXT NOT NULL,
            version INTEGER NOT NULL,
            shard INTEGER NOT NULL,
            position INTEGER NOT NULL,
            committed_at INTEGER NOT NULL,
            event_timestamp INTEGER,
            PRIMARY KEY (projection, version, shard)
        ) WITHOUT ROWID;
        INSERT INTO ego_offsets_of_versions SELECT projection, 1, shard, position, timestamp, NULL FROM ego_offsets;
        DROP TABLE ego_offsets;
        ALTER TABLE ego_offsets_of_versions RENAME TO ego_offsets;

        CREATE TABLE ego_dead_letters (
            projection TEXT NOT NULL,
            version INTEGER NOT NULL,
            position INTEGER NOT NULL,
            shard INTEGER NOT NULL,
            persistence_id TEXT NOT NULL,
            sequence_number INTEGER NOT NULL,
            type TEXT NOT NULL,
            error TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            failed_at INTEGER NOT NULL,
            PRIMARY KEY (projection, version, position)
        ) WITHOUT ROWID;
        CREATE INDEX ego_dead_letters_entity ON ego_dead_letters (persistence_id);

        CREATE TABLE ego_journal_marks (
            position INTEGER NOT NULL,
            shard INTEGER NOT NULL,
            events INTEGER NOT NULL,
            last_position INTEGER NOT NULL,
            last_timestamp INTEGER NOT NULL,
            PRIMARY KEY (position, shard)
        ) WITHOUT ROWID;
        """

    /// Checksums of payloads, encrypted durable states, and the order of erasures.
    private static let version3 = """
        ALTER TABLE ego_events ADD COLUMN checksum INTEGER;
        ALTER TABLE ego_snapshots ADD COLUMN checksum INTEGER;
        ALTER TABLE ego_states ADD COLUMN checksum INTEGER;
        ALTER TABLE ego_states ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE ego_states ADD COLUMN encryption_key INTEGER REFERENCES ego_names;
        ALTER TABLE ego_tombstones ADD COLUMN number INTEGER;
        UPDATE ego_tombstones AS t SET number = (SELECT count(*) FROM ego_tombstones o WHERE o.entity <= t.entity);
        CREATE UNIQUE INDEX ego_tombstones_number ON ego_tombstones (number);
        """
}
