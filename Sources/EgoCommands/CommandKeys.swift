import CommandLineKit
import EgoCore
import EgoPostgres
import EgoSQLite
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The encryption keys of a command: where they are, and what they are wrapped by. Nothing is read before a store is
/// opened.
final class CommandKeys: PayloadDecryptor {
    /// Where the keys of entities are.
    enum Location: Sendable, Hashable {
        case store
        case other(StoreLocation)
        /// Keys of eGo for Go, which are only read.
        case file(String)

        init(_ text: String?) throws(UsageError) {
            guard let text, text != "store" else {
                self = .store
                return
            }
            if text.hasPrefix("file:"), text.count > 5 {
                self = .file(String(text.dropFirst(5)))
                return
            }
            do { self = .other(try StoreLocation(text)) } catch {
                // The value is not shown: it could be a key.
                throw UsageError(
                    "this is no place of keys that is known", subject: "--keys",
                    hint: "write store, sqlite:PATH, postgres://HOST/DATABASE or file:PATH")
            }
        }
    }

    let location: Location
    private let master: String?
    private let masterCommand: String?
    private let scope: EncryptionScope
    private let file: EgoGoDecryptor?
    private let encryptor = Mutex<AESEncryptor?>(nil)
    /// The master key, once it was read: a command that asks for a password asks once.
    private let known = Mutex<MasterKey?>(nil)

    /// Whether any key was named.
    var isConfigured: Bool { hasMaster || file != nil }
    /// Whether there is a master key.
    var hasMaster: Bool { master != nil || masterCommand != nil }

    /// Reads what the options name, but no master key yet.
    init(_ options: GlobalOptions) throws {
        location = try Location(options.keys)
        master = options.masterKey
        masterCommand = options.masterKeyCommand
        scope = try Self.scope(options.encrypt)
        if case .file(let path) = location { file = try KeyFile(path: path).decryptor } else { file = nil }
    }

    private static func scope(_ text: String?) throws -> EncryptionScope {
        switch text {
        case nil, "existing": return .existing
        case "all": return .all
        case let text?:
            let kinds = text.split(separator: ",").map { $0.drop { $0 == " " } }.map(String.init)
            if kinds.isEmpty {
                throw CommandFailure(
                    .config, "encrypt", "it names no kind", hint: "write existing, all, or kinds with commas between")
            }
            return .kinds(Set(kinds))
        }
    }

    func decrypt(_ payload: AnyPayload, of record: EncryptedRecord) throws(PayloadError) -> AnyPayload {
        if let encryptor = encryptor.withLock({ $0 }) { return try encryptor.decrypt(payload, of: record) }
        if let file { return try file.decrypt(payload, of: record) }
        throw .encrypted(keyID: record.keyID)
    }

    /// The store as this command sees it: with encryption where there is a master key.
    ///
    /// - Parameter scope: which entities are encrypted; nil for what the configuration says.
    func encrypting(
        _ store: any Store, readOnly: Bool, scope: EncryptionScope?, _ context: CommandContext
    ) async throws -> any Store {
        guard hasMaster else { return store }
        let master = try masterKey()
        let other = try await keyStore(readOnly: readOnly, context)
        let ring = KeyRing(store: other ?? store, master: master, time: context.time)
        let encryptor = AESEncryptor(keys: ring, others: file)
        self.encryptor.withLock { $0 = encryptor }
        return EncryptedStore(store, encryptor: encryptor, scope: scope ?? self.scope) { await other?.close() }
    }

    /// The key store that is not the store itself; whoever asks for it closes it.
    func keyStore(readOnly: Bool, _ context: CommandContext) async throws -> (any Store)? {
        switch location {
        case .store, .file: return nil
        case .other(.sqlite(let path)):
            return try await SQLiteStore(path: path, options: context.sqliteOptions(readOnly: readOnly))
        case .other(.postgres(let url)):
            return try await PostgresStore(url: url, options: context.postgresOptions(readOnly: readOnly))
        }
    }

    // MARK: The master key

    /// The master key that the options name.
    ///
    /// - Throws: ``CommandFailure`` with ``ExitCode/config`` when none is named.
    func masterKey() throws -> MasterKey {
        if let known = known.withLock({ $0 }) { return known }
        let key = try readMasterKey()
        known.withLock { $0 = key }
        return key
    }

    private func readMasterKey() throws -> MasterKey {
        if let master { return try Self.masterKey(file: master) }
        if let masterCommand { return try Self.masterKey(command: masterCommand) }
        throw CommandFailure(
            .config, "master key", "none is configured",
            hint: "name a file with --master-key, or a command that prints it with master_key_command in .ego.toml")
    }

    /// Reads a master key that only its owner can read.
    static func masterKey(file path: String) throws -> MasterKey {
        var status = stat()
        guard stat(path, &status) == 0 else {
            // Whoever gives the key itself by mistake does not want to see it in a log.
            if (try? MasterKey(content: Array(path.utf8))) != nil {
                throw CommandFailure(
                    .noInput, "master key", "a file is wanted, and this is a key",
                    hint: "a key on a command line is seen by others: make a new one")
            }
            throw CommandFailure(.noInput, Escape.shown(path), "there is no such file", hint: newKeyHint(path))
        }
        let shown = Escape.shown(path)
        if status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 != 0 {
            throw CommandFailure(
                .config, shown, "others than its owner can read the master key",
                hint: "chmod 600 \(Escape.shellWord(path))")
        }
        // A pipe too, as <(command) gives one.
        guard let stream = fopen(path, "re") else {
            throw CommandFailure(.noPermission, shown, "the master key cannot be read")
        }
        defer { fclose(stream) }
        return try key(content(of: stream), shown)
    }

    private static func newKeyHint(_ path: String) -> String {
        "make one with: (umask 077; openssl rand -hex 32 > \(Escape.shellWord(path))); keep a copy of it elsewhere"
    }

    private static func masterKey(command: String) throws -> MasterKey {
        // What it prints is read here and nowhere else; it may ask on the terminal.
        guard let stream = popen(command, "r") else {
            throw CommandFailure(.config, "master_key_command", "it cannot be started")
        }
        let output = content(of: stream)
        guard pclose(stream) == 0 else {
            throw CommandFailure(.config, "master_key_command", "it failed", hint: "run it by hand to see why")
        }
        return try key(output, "master_key_command")
    }

    /// What a file or a pipe gives, as far as it could be a key.
    private static func content(of stream: UnsafeMutablePointer<FILE>) -> [UInt8] {
        var content: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4_096)
        while content.count < 65_536 {
            let count = fread(&block, 1, block.count, stream)
            if count <= 0 { break }
            content += block[..<count]
        }
        return content
    }

    private static func key(_ content: [UInt8], _ what: String) throws -> MasterKey {
        do { return try MasterKey(content: content) } catch {
            // What is there instead is not shown: it could be most of a key.
            throw CommandFailure(
                .config, what, "it gives no master key", hint: "64 hexadecimal digits, or 32 bytes in base64")
        }
    }
}
