import CommandLineKit
import EgoCore
import LineEditor

/// Where the inputs of sessions are kept, and which of them.
struct SessionHistory {
    let file: HistoryFile

    /// How many inputs are kept where `HISTSIZE` says nothing, or no number.
    private static let defaultLimit = 1_000

    init(_ context: CommandContext) {
        let environment = context.console.environment
        var folder = environment["XDG_STATE_HOME"] ?? ""
        // A relative path is to be ignored (XDG Base Directory Specification).
        if !folder.hasPrefix("/") { folder = (environment["HOME"] ?? "") + "/.local/state" }
        let size = environment["HISTSIZE"].flatMap(Int.init) ?? Self.defaultLimit
        file = HistoryFile(path: folder + "/ego/history", limit: size < 0 ? Int(Int32.max) : size)
    }

    /// Whether an input may be kept. Nothing of an encrypted entity is: neither commands to it, nor its ID.
    ///
    /// - Parameter entities: the entity of the session before and after the input.
    static func keeps(
        _ input: String, _ entities: [ReplSession.Entity?], _ session: ReplSession
    ) async -> Bool {
        if input.isEmpty || input.first?.isWhitespace == true { return false }
        let isMeta = input.hasPrefix("\\")
        let name = isMeta ? String(input.dropFirst().prefix { !$0.isWhitespace }) : ""
        let hidden = entities.compactMap(\.self).filter(\.isEncrypted)
        if !hidden.isEmpty {
            if !isMeta || isAboutEntity(name) { return false }
            if hidden.contains(where: { input.contains($0.id.rawValue) }) { return false }
        }
        guard isMeta else { return true }
        // Other entities that it names.
        let words = SessionWords(String(input.dropFirst(name.count + 1))).words
        let mayName = !["set", "!", "o", "i", "e", "edit", "x", "format", "timing", "pager", "?"].contains(name)
        guard mayName else { return true }
        let names = words.filter { !$0.hasPrefix("-") && !$0.hasPrefix("{") }
        // So many cannot be looked up before the next prompt.
        if names.count > 20 { return false }
        return await !session.namesEncrypted(names)
    }

    /// Whether a meta command holds content of the entity of the session.
    private static func isAboutEntity(_ name: String) -> Bool {
        ["use", "new", "dry", "repeat", "state", "diff", "events", "watch", "set", "send", "g"].contains(name)
    }
}

extension ReplSession {
    /// Whether any of these words is the ID of an entity that is stored encrypted. Where that cannot be found out,
    /// it is taken to be so.
    func namesEncrypted(_ words: [String]) async -> Bool {
        var ids: [PersistenceID] = []
        for word in words { if let id = try? PersistenceID(word) { ids.append(id) } }
        if ids.isEmpty { return false }
        do {
            let store = try await stores.store(readOnly: true)
            for id in ids {
                guard let record = try await SessionEntities(store, context).record(id) else { continue }
                if try await SessionEntities(store, context).isEncrypted(id, record) { return true }
            }
            return false
        } catch { return true }
    }
}
