/// The tables of an Ego store in a PostgreSQL database, and how they came to be.
///
/// `events_store`, `snapshots_store`, `states_store` and `offsets_store` are those of eGo for Go with columns added, so
/// that it goes on reading and writing the same database. All others start with `ego_`.
enum PostgresSchema {
    /// The version that this program reads and writes.
    static let version = 3

    /// The tables of eGo for Go v4, as it makes them. The persistence ID is ordered by its bytes, which makes a prefix a
    /// range of the primary key.
    static let egoGoTables = """
        CREATE TABLE events_store (
            persistence_id varchar(255) COLLATE "C" NOT NULL,
            sequence_number bigint NOT NULL,
            is_deleted boolean DEFAULT false NOT NULL,
            event_payload bytea NOT NULL,
            event_manifest varchar(255) NOT NULL,
            "timestamp" bigint NOT NULL,
            shard_number bigint NOT NULL,
            encryption_key_id varchar(255) DEFAULT '' NOT NULL,
            is_encrypted boolean DEFAULT false NOT NULL,
            PRIMARY KEY (persistence_id, sequence_number)
        );
        """

    /// What is not there in an older database, or in one whose application uses only a part of eGo for Go.
    static func missingTables(collation: String) -> String {
        """
        CREATE TABLE IF NOT EXISTS snapshots_store (
            persistence_id varchar(255) \(collation) NOT NULL,
            sequence_number bigint NOT NULL,
            state_payload bytea NOT NULL,
            state_manifest varchar(255) NOT NULL,
            "timestamp" bigint NOT NULL,
            encryption_key_id varchar(255) DEFAULT '' NOT NULL,
            is_encrypted boolean DEFAULT false NOT NULL,
            PRIMARY KEY (persistence_id, sequence_number)
        );
        CREATE TABLE IF NOT EXISTS states_store (
            persistence_id varchar(255) \(collation) NOT NULL,
            version_number bigint NOT NULL,
            state_payload bytea NOT NULL,
            state_manifest varchar(255) NOT NULL,
            "timestamp" bigint NOT NULL,
            shard_number bigint NOT NULL,
            PRIMARY KEY (persistence_id)
        );
        CREATE TABLE IF NOT EXISTS offsets_store (
            projection_name varchar(255) NOT NULL,
            shard_number bigint NOT NULL,
            current_offset bigint NOT NULL,
            "timestamp" bigint NOT NULL,
            PRIMARY KEY (projection_name, shard_number)
        );
        """
    }

    /// Ego's own tables.
    static func ownTables(collation: String) -> String {
        """
        CREATE TABLE ego_metadata (
            key text PRIMARY KEY,
            value text NOT NULL
        );
        CREATE SEQUENCE ego_position;
        -- Whoever inserts events gives them a position, also a role of an application that knows nothing of Ego.
        GRANT USAGE ON SEQUENCE ego_position TO PUBLIC;
        CREATE TABLE ego_entities (
            persistence_id varchar(255) \(collation) PRIMARY KEY,
            kind text,
            shard bigint,
            floor bigint NOT NULL DEFAULT 0
        );
        -- The last place of the journal that was deleted; the head never goes back behind it.
        CREATE TABLE ego_trimmed (
            only_row boolean PRIMARY KEY CHECK (only_row),
            transaction_id xid8 NOT NULL,
            position bigint NOT NULL
        );
        INSERT INTO ego_trimmed VALUES (true, '0', 0);
        CREATE TABLE ego_commands (
            persistence_id varchar(255) \(collation) NOT NULL,
            command_id text COLLATE "C" NOT NULL,
            before bigint NOT NULL,
            after bigint NOT NULL,
            PRIMARY KEY (persistence_id, command_id)
        );
        CREATE TABLE ego_offsets (
            projection text COLLATE "C" NOT NULL,
            shard bigint NOT NULL,
            transaction_id xid8 NOT NULL,
            position bigint NOT NULL,
            generation bigint NOT NULL,
            "timestamp" bigint NOT NULL,
            PRIMARY KEY (projection, shard)
        );
        CREATE TABLE ego_keys (
            id text COLLATE "C" PRIMARY KEY,
            persistence_id varchar(255) \(collation) NOT NULL,
            wrapped bytea,
            created_at bigint NOT NULL
        );
        CREATE INDEX ego_keys_entity ON ego_keys (persistence_id);
        CREATE TABLE ego_leases (
            name text COLLATE "C" PRIMARY KEY,
            owner text,
            generation bigint NOT NULL,
            acquired_at bigint NOT NULL,
            expires_at bigint NOT NULL
        );
        CREATE TABLE ego_jobs (
            id text COLLATE "C" PRIMARY KEY,
            kind text NOT NULL,
            state text NOT NULL,
            arguments text NOT NULL,
            checkpoint text NOT NULL,
            created_at bigint NOT NULL,
            updated_at bigint NOT NULL
        );
        CREATE TABLE ego_audit (
            number bigint PRIMARY KEY,
            "timestamp" bigint NOT NULL,
            actor text NOT NULL,
            action text NOT NULL,
            arguments text NOT NULL,
            reason text NOT NULL,
            result text NOT NULL,
            previous_hash text NOT NULL,
            hash text NOT NULL
        );
        CREATE TABLE ego_tombstones (
            persistence_id varchar(255) \(collation) PRIMARY KEY,
            sequence_number bigint NOT NULL,
            erased_at bigint NOT NULL
        );
        CREATE TABLE ego_holds (
            persistence_id varchar(255) COLLATE "C" PRIMARY KEY,
            reason text NOT NULL,
            placed_at bigint NOT NULL
        );
        """
    }

    /// What brings the tables of a version up to the next one; the first does so for version 1. A new database takes all
    /// of them.
    static func upgrades(collation: String) -> [String] { [version2(collation: collation), version3] }

    /// Projections with records, versions of read models, dead letters, and marks to count the journal by.
    private static func version2(collation: String) -> String {
        """
        CREATE TABLE ego_projections (
            name text COLLATE "C" PRIMARY KEY,
            mode text NOT NULL,
            active_version bigint NOT NULL,
            shadow_version bigint,
            previous_version bigint,
            revision bigint NOT NULL,
            details bytea NOT NULL
        );
        INSERT INTO ego_projections SELECT DISTINCT projection, 'running', 1, NULL::bigint, NULL::bigint, 1, ''::bytea
            FROM ego_offsets;
        ALTER TABLE ego_offsets
            ADD COLUMN version bigint NOT NULL DEFAULT 1,
            ADD COLUMN event_timestamp bigint,
            DROP COLUMN generation,
            DROP CONSTRAINT ego_offsets_pkey,
            ADD PRIMARY KEY (projection, version, shard);
        ALTER TABLE ego_offsets ALTER COLUMN version DROP DEFAULT;
        ALTER TABLE ego_offsets RENAME COLUMN "timestamp" TO committed_at;
        CREATE TABLE ego_dead_letters (
            projection text COLLATE "C" NOT NULL,
            version bigint NOT NULL,
            transaction_id xid8 NOT NULL,
            position bigint NOT NULL,
            shard bigint NOT NULL,
            persistence_id varchar(255) \(collation) NOT NULL,
            sequence_number bigint NOT NULL,
            type text NOT NULL,
            error text NOT NULL,
            attempts bigint NOT NULL,
            failed_at bigint NOT NULL,
            PRIMARY KEY (projection, version, transaction_id, position)
        );
        CREATE INDEX ego_dead_letters_entity ON ego_dead_letters (persistence_id);
        CREATE TABLE ego_journal_marks (
            transaction_id xid8 NOT NULL,
            position bigint NOT NULL,
            shard bigint NOT NULL,
            events bigint NOT NULL,
            last_transaction_id xid8 NOT NULL,
            last_position bigint NOT NULL,
            last_timestamp bigint NOT NULL,
            PRIMARY KEY (transaction_id, position, shard)
        );
        """
    }

    /// The order of erasures.
    private static let version3 = """
        ALTER TABLE ego_tombstones ADD COLUMN number bigint;
        UPDATE ego_tombstones t SET number = o.number
            FROM (SELECT persistence_id, row_number() OVER (ORDER BY erased_at, persistence_id) AS number
                FROM ego_tombstones) o
            WHERE o.persistence_id = t.persistence_id;
        CREATE UNIQUE INDEX ego_tombstones_number ON ego_tombstones (number);
        """

    /// The columns of version 3 in eGo for Go's tables: checksums of payloads, and encrypted durable states. A row that
    /// eGo for Go has written over since has another time than the one that its checksum was made at.
    static let columnsOfVersion3 = """
        LOCK TABLE snapshots_store IN ACCESS EXCLUSIVE MODE;
        LOCK TABLE states_store IN ACCESS EXCLUSIVE MODE;
        LOCK TABLE events_store IN ACCESS EXCLUSIVE MODE;
        ALTER TABLE snapshots_store ADD COLUMN checksum bigint, ADD COLUMN checksum_at bigint;
        ALTER TABLE states_store ADD COLUMN checksum bigint, ADD COLUMN checksum_at bigint,
            ADD COLUMN encryption_key_id text;
        ALTER TABLE events_store ADD COLUMN checksum bigint;
        -- Statistics of a column hold some of its values, long after their rows are gone.
        ALTER TABLE snapshots_store ALTER COLUMN state_payload SET STATISTICS 0;
        ALTER TABLE states_store ALTER COLUMN state_payload SET STATISTICS 0;
        ALTER TABLE events_store ALTER COLUMN event_payload SET STATISTICS 0;
        """

    /// The columns that eGo for Go's tables get, all nullable, so that no row is written: new rows have their place in
    /// the journal by default, whoever inserts them. Takes a lock that nobody can write beside, for a moment.
    static let addedColumns = """
        ALTER TABLE events_store
            ADD COLUMN transaction_id xid8,
            ADD COLUMN position bigint,
            ADD COLUMN metadata bytea,
            ADD COLUMN unknown_fields bytea,
            ADD COLUMN IF NOT EXISTS encryption_key_id varchar(255) DEFAULT '' NOT NULL,
            ADD COLUMN IF NOT EXISTS is_encrypted boolean DEFAULT false NOT NULL,
            ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id(),
            ALTER COLUMN position SET DEFAULT nextval('ego_position');
        ALTER TABLE states_store ADD COLUMN metadata bytea;
        """

    /// eGo for Go v4 cannot insert while the columns of v3 have to have a value.
    static let relaxedInlineState = """
        ALTER TABLE events_store
            ALTER COLUMN state_payload DROP NOT NULL,
            ALTER COLUMN state_manifest DROP NOT NULL;
        """

    /// The order of the journal.
    static let orderIndex =
        "CREATE UNIQUE INDEX \(orderIndexName) ON events_store (transaction_id, position)"
    static let orderIndexConcurrently =
        "CREATE UNIQUE INDEX CONCURRENTLY \(orderIndexName) ON events_store (transaction_id, position)"
    static let orderIndexName = "ego_events_order"

    /// The older rows of an adopted database in their order: by time, but never against the numbers of an entity.
    static let olderRows = """
        CREATE TABLE ego_older AS
        SELECT row_number() OVER (ORDER BY at, persistence_id COLLATE "C", sequence_number) AS number,
            persistence_id, sequence_number
        FROM (
            SELECT persistence_id, sequence_number,
                max(CASE WHEN abs("timestamp") < 100000000000 THEN "timestamp"::numeric * 1000000000
                    WHEN abs("timestamp") < 100000000000000 THEN "timestamp"::numeric * 1000000
                    ELSE "timestamp" END) OVER (PARTITION BY persistence_id ORDER BY sequence_number) AS at
            FROM events_store WHERE transaction_id IS NULL
        ) dated
        """
    static let olderRowsKey = "ALTER TABLE ego_older ADD PRIMARY KEY (number)"

    /// What each table has to have. The first ones are eGo for Go's.
    static let columns: [(table: String, columns: [String])] = [
        (
            "events_store",
            [
                "persistence_id", "sequence_number", "is_deleted", "event_payload", "event_manifest", "timestamp",
                "shard_number", "encryption_key_id", "is_encrypted", "transaction_id", "position", "metadata",
                "unknown_fields", "checksum",
            ]
        ),
        (
            "snapshots_store",
            [
                "persistence_id", "sequence_number", "state_payload", "state_manifest", "timestamp",
                "encryption_key_id", "is_encrypted", "checksum", "checksum_at",
            ]
        ),
        (
            "states_store",
            [
                "persistence_id", "version_number", "state_payload", "state_manifest", "timestamp", "shard_number",
                "metadata", "checksum", "checksum_at", "encryption_key_id",
            ]
        ),
        ("offsets_store", ["projection_name", "shard_number", "current_offset", "timestamp"]),
        ("ego_metadata", ["key", "value"]),
        ("ego_entities", ["persistence_id", "kind", "shard", "floor"]),
        ("ego_trimmed", ["only_row", "transaction_id", "position"]),
        ("ego_commands", ["persistence_id", "command_id", "before", "after"]),
        (
            "ego_projections",
            [
                "name", "mode", "active_version", "shadow_version", "previous_version", "revision", "details",
            ]
        ),
        (
            "ego_offsets",
            [
                "projection", "version", "shard", "transaction_id", "position", "committed_at", "event_timestamp",
            ]
        ),
        (
            "ego_dead_letters",
            [
                "projection", "version", "transaction_id", "position", "shard", "persistence_id", "sequence_number",
                "type", "error", "attempts", "failed_at",
            ]
        ),
        (
            "ego_journal_marks",
            [
                "transaction_id", "position", "shard", "events", "last_transaction_id", "last_position",
                "last_timestamp",
            ]
        ),
        ("ego_keys", ["id", "persistence_id", "wrapped", "created_at"]),
        ("ego_leases", ["name", "owner", "generation", "acquired_at", "expires_at"]),
        ("ego_jobs", ["id", "kind", "state", "arguments", "checkpoint", "created_at", "updated_at"]),
        (
            "ego_audit",
            [
                "number", "timestamp", "actor", "action", "arguments", "reason", "result", "previous_hash", "hash",
            ]
        ),
        ("ego_tombstones", ["persistence_id", "sequence_number", "erased_at", "number"]),
        ("ego_holds", ["persistence_id", "reason", "placed_at"]),
    ]

    /// The columns by which a table of eGo for Go is recognised, of any version.
    static let recognized: [(table: String, columns: [String])] = [
        (
            "events_store",
            [
                "persistence_id", "sequence_number", "is_deleted", "event_payload", "event_manifest", "timestamp",
                "shard_number",
            ]
        ),
        ("snapshots_store", columns[1].columns.filter { !$0.hasPrefix("checksum") }),
        (
            "states_store",
            columns[2].columns.filter { !["metadata", "checksum", "checksum_at", "encryption_key_id"].contains($0) }
        ),
        ("offsets_store", columns[3].columns),
    ]
}
