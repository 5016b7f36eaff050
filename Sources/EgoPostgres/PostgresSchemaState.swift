public import EgoCore

/// What of an Ego schema a database holds.
public struct PostgresSchemaState: Sendable {
    /// What it is.
    public let kind: Kind
    let layout: PostgresLayout

    /// What a database is to Ego.
    public enum Kind: Sendable, Hashable {
        /// None of the tables.
        case absent
        /// Tables of eGo for Go, which were not adopted.
        case egoGo(StoreMetadata)
        /// Tables of the names, which lack these columns.
        case unknown(missing: [String])
        /// A schema of an older version.
        case older(version: Int)
        /// The schema of this program.
        case current(StoreMetadata)
        /// The schema of this program, but the rows that eGo for Go had written before do not have their order yet.
        case unordered(StoreMetadata)
        /// A schema of a newer version.
        case newer(version: Int)
    }

    private static let selectMetadata = "SELECT key, value FROM ego_metadata"
    private static let selectDatabase =
        "SELECT oid::bigint, current_schema()::text FROM pg_database WHERE datname = current_database()"
    private static let selectShards =
        "SELECT max(shard_number), count(*) FROM (SELECT DISTINCT shard_number FROM events_store) s"

    /// Looks at a database as it is at one moment: somebody may be bringing it up to date.
    static func look(_ connection: PostgresConnection, at url: PostgresURL) throws(StoreError) -> PostgresSchemaState {
        try connection.transaction(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            { () throws(StoreError) in try PostgresSchemaState(connection, at: url) },
            wrap: { StoreError($0, during: "look at \(url)") })
    }

    /// The same inside a transaction that nobody else's changes come into.
    init(_ connection: PostgresConnection, at url: PostgresURL) throws(StoreError) {
        layout = try connection.run("look at \(url)") { () throws(PostgresError) in try PostgresLayout(connection) }
        kind = try layout.isAdopted ? Self.own(connection, layout, url) : Self.foreign(connection, layout, url)
    }

    private static func own(
        _ connection: PostgresConnection, _ layout: PostgresLayout, _ url: PostgresURL
    ) throws(StoreError) -> Kind {
        let missingMetadata = layout.missing(of: PostgresSchema.columns.filter { $0.table == "ego_metadata" })
        if !missingMetadata.isEmpty { throw damaged(url, missingMetadata) }
        let pairs = try connection.run("read the schema of \(url)") { () throws(PostgresError) in
            try connection.all(selectMetadata) { ($0.text(0), $0.text(1)) }
        }
        let values = Dictionary(pairs) { first, _ in first }
        guard let version = Int(values["schema_version"] ?? ""), version > 0,
            let shardCount = UInt32(values["shard_count"] ?? ""), shardCount > 0
        else { throw StoreError(.corrupt, "\(url) has damaged metadata: no schema version or no shard count") }
        if version > PostgresSchema.version { return .newer(version: version) }
        if version < PostgresSchema.version { return .older(version: version) }
        let missing = layout.missing(of: PostgresSchema.columns)
        if !missing.isEmpty { throw damaged(url, missing) }
        let metadata = StoreMetadata(
            storeID: values["store_id"] ?? "", schemaVersion: version, shardCount: shardCount,
            origin: values["origin"].flatMap(StoreMetadata.Origin.init) ?? .ego)
        return values["ordered"] == "false" ? .unordered(metadata) : .current(metadata)
    }

    private static func foreign(
        _ connection: PostgresConnection, _ layout: PostgresLayout, _ url: PostgresURL
    ) throws(StoreError) -> Kind {
        guard layout.has("events_store") else {
            return PostgresSchema.recognized.contains { layout.has($0.table) }
                ? .unknown(missing: ["events_store"]) : .absent
        }
        let missing = layout.missing(of: PostgresSchema.recognized, ifPresent: true)
        if !missing.isEmpty { return .unknown(missing: missing) }
        if !layout.foreignTypes.isEmpty { return .unknown(missing: layout.foreignTypes) }
        let origin: StoreMetadata.Origin = layout.has("events_store", "state_payload") ? .egoGoV3 : .egoGoV4
        if origin == .egoGoV4, !layout.has("events_store", "encryption_key_id") {
            return .unknown(missing: ["events_store.encryption_key_id"])
        }
        return try connection.run("read the shards of \(url)") { () throws(PostgresError) in
            let database = try connection.first(selectDatabase) { "\($0.integer(0))-\($0.text(1))" } ?? ""
            let largest = try connection.first(selectShards) { $0.integer(0) } ?? 0
            return .egoGo(
                StoreMetadata(
                    storeID: "not-adopted-\(database)", schemaVersion: 0,
                    shardCount: UInt32(clamping: min(max(largest, 0), Int64(UInt32.max) - 1) + 1), origin: origin))
        }
    }

    private static func damaged(_ url: PostgresURL, _ missing: [String]) -> StoreError {
        StoreError(.corrupt, "\(url) lacks \(missing.joined(separator: ", "))")
    }

    /// Why a database of eGo for Go cannot be adopted; nil where it can.
    package func adoptionError(_ url: PostgresURL) -> StoreError? {
        guard case .egoGo = kind, !layout.hasEventKey else { return nil }
        return StoreError(
            .notAStore,
            "\(url): events_store is no table with a unique key on persistence_id and sequence_number; two events of one number could not be told apart"
        )
    }

    /// Why a database in this state cannot be opened.
    package func openError(_ url: PostgresURL) -> StoreError {
        switch kind {
        case .absent: StoreError(.notInitialized, "\(url) has no Ego store", remedy: "ego init makes one there")
        case .egoGo(let metadata):
            StoreError(
                .notInitialized,
                "\(url) is a database of eGo for Go (\(metadata.origin == .egoGoV3 ? "v3" : "v4")) that was not adopted",
                remedy: "ego init adopts it; --read-only looks at it as it is"
            )
        case .unknown(let missing):
            StoreError(
                .notAStore,
                "\(url) has tables of eGo's names that are not eGo's: "
                    + missing.map { $0.contains(" is ") ? $0 : "no \($0)" }.joined(separator: ", "))
        case .older(let version):
            StoreError(
                .notInitialized, "\(url) has schema version \(version), this program wants \(PostgresSchema.version)")
        case .unordered:
            StoreError(.notInitialized, "\(url) is being adopted: its older events do not have their order yet")
        case .newer(let version):
            StoreError(
                .newerSchema, "\(url) has schema version \(version), this program knows \(PostgresSchema.version)")
        case .current: StoreError(.invalid, "\(url) is up to date")
        }
    }
}

extension PostgresSchemaState {
    /// What ``PostgresStore/initialize(url:shardCount:storeID:patience:options:)`` and the job after it do to this
    /// database, a sentence each; empty when there is nothing to do.
    public var changes: [String] {
        switch kind {
        case .current, .newer, .unknown: []
        case .older(let version): ["bring the tables up from schema version \(version)"]
        case .absent: ["make the tables of eGo for Go, and those of Ego, whose names start with ego_"]
        case .unordered: ["give the older events their place in the journal, and make its index"]
        case .egoGo: adoption
        }
    }

    private var adoption: [String] {
        let added = PostgresSchema.columns.prefix(3).flatMap { table, columns in
            layout.has(table) ? columns.filter { !layout.has(table, $0) }.map { "\(table).\($0)" } : []
        }
        var changes = ["add the columns \(added.joined(separator: ", ")); no row is written for it"]
        if layout.hasInlineState {
            changes.append("let events_store.state_payload and state_manifest be null, as v4 of eGo for Go needs it")
        }
        let missing = PostgresSchema.recognized.map(\.table).filter { !layout.has($0) }
        changes.append(
            "make the tables \((missing + ["those of Ego, whose names start with ego_"]).joined(separator: ", "))")
        changes.append("give the events that are there their place in the journal, in pages; no payload is changed")
        changes.append("make the journal's index beside writers")
        return changes
    }
}
