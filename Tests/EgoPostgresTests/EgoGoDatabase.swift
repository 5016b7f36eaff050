import BankDomain
import EgoCore
import EgoPostgres
import Foundation
import PostgresServer

/// A database that eGo for Go has written, restored from its dump, and what Go computes from it.
struct EgoGoDatabase {
    enum Version: String, CaseIterable, Sendable {
        case v3, v4
    }

    let version: Version
    let server: PostgresServer
    let name: String

    static let fixtures = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/ego-go")

    /// Restores the dump into a database of its own.
    ///
    /// - Parameter options: how the database is made, as `LOCALE_PROVIDER icu`.
    init(_ version: Version, on server: PostgresServer, options: String = "") throws {
        self.version = version
        self.server = server
        self.name = "d" + UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        try server.sql("CREATE DATABASE \(name) \(options)")
        let dump = try String(contentsOf: Self.fixtures.appending(path: "ego-\(version).sql"), encoding: .utf8)
        try server.sql(dump, database: name)
    }

    var url: PostgresURL {
        get throws { try PostgresURL(server.url(database: name)) }
    }

    @discardableResult
    func sql(_ text: String) throws -> String { try server.sql(text, database: name) }

    func open(readOnly: Bool = true) async throws -> PostgresStore {
        try await PostgresStore(url: url, options: PostgresStoreOptions(readOnly: readOnly))
    }

    /// The sample domain, with the keys of the dump.
    static func domain() throws -> Domain {
        struct KeyList: Decodable {
            struct Key: Decodable { var key_id, key_hex: String }
            var keys: [Key]
        }
        let data = try Data(contentsOf: fixtures.appending(path: "ego-v4-keys.json"))
        var keys: [String: [UInt8]] = [:]
        for key in try JSONDecoder().decode(KeyList.self, from: data).keys {
            var rest = Substring(key.key_hex)
            var bytes: [UInt8] = []
            while !rest.isEmpty {
                bytes.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
                rest = rest.dropFirst(2)
            }
            keys[key.key_id] = bytes
        }
        return Domain.bank.decrypting(with: try EgoGoDecryptor(keys: keys))
    }
}

/// What Go computes from the dumps; the parts that are compared.
struct Expected: Decodable {
    struct Account: Decodable {
        var account_id: String
        var account_balance_bits: String

        var balance: Double { Double(bitPattern: UInt64(account_balance_bits.dropFirst(2), radix: 16) ?? 0) }
    }

    struct Snapshot: Decodable {
        var sequence_number: UInt64
        var timestamp: Int64
        var is_encrypted: Bool
        var encryption_key_id: String
        var state: Account
    }

    struct Inline: Decodable {
        var sequence_number: UInt64
        var state: Account
    }

    struct Undecodable: Decodable { var sequence_number: UInt64 }

    struct Entity: Decodable {
        var persistence_id: String
        var shards: [UInt64]
        var event_count: Int
        var encrypted_events: Int?
        var first_sequence_number, last_sequence_number: UInt64
        var first_timestamp, last_timestamp: Int64
        var event_types: [String: Int]
        var snapshots: [Snapshot]?
        var final_state: Account?
        var final_state_by_event_replay: Account?
        var newest_decodable_inline_state: Inline?
        var undecodable_inline_states: [Undecodable]?
    }

    struct State: Decodable {
        var persistence_id: String
        var version_number: UInt64
        var timestamp: Int64
        var shard_number: UInt64
        var state: Account
    }

    struct Offset: Decodable {
        var projection_name: String
        var shard_number: UInt64
        var current_offset: Int64
        var timestamp: Int64
        var shard_latest_timestamp: Int64
        var events_after_offset: Int
        var lag_nanoseconds, lag_seconds: Int64?
    }

    struct Missing: Decodable {
        var projection_name: String
        var shard_number: UInt64
        var events_after_offset: Int
    }

    struct Shard: Decodable {
        var shard_number: UInt64
        var events, entities: Int
        var latest_timestamp: Int64
    }

    struct Totals: Decodable {
        var durable_states, entities, events, offset_rows, shards: Int
        var snapshots, encrypted_events, encrypted_snapshots: Int?
    }

    struct Database: Decodable {
        var entities: [Entity]
        var durable_states: [State]
        var offsets: [Offset]
        var shards_without_offset_row: [Missing]
        var shards: [Shard]
        var totals: Totals
    }

    var v3, v4: Database

    static func of(_ version: EgoGoDatabase.Version) throws -> Database {
        let data = try Data(contentsOf: EgoGoDatabase.fixtures.appending(path: "expected.json"))
        let all = try JSONDecoder().decode(Expected.self, from: data)
        return version == .v3 ? all.v3 : all.v4
    }
}
