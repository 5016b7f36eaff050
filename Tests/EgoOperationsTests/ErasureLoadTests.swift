import BankDomain
import EgoCore
import EgoOperations
import EgoSQLite
import ExerciserSupport
import Foundation
import Testing

@Suite("An erasure beside an engine under load in another process", .serialized, .timeLimit(.minutes(5)))
struct ErasureLoadTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func id(_ text: String) -> PersistenceID { PersistenceID(stored: text) }

    @Test("comes to its end, and no acknowledged event is lost and no projection stopped")
    func load() async throws {
        let path = folder.path("a.db")
        let store = try await folder.store("a.db")
        func acknowledged(_ writer: ExerciserProcess) -> Int { writer.lines.count { $0.hasPrefix("ack ") } }
        let first = try ExerciserProcess(["credit", path, "9"])
        try await poll("commands") { acknowledged(first) > 100 }
        first.kill()
        let writer = try ExerciserProcess(["credit", path, "3"])
        let projection = try ExerciserProcess(["project", path, "noted", "300"])
        defer {
            writer.kill()
            projection.kill()
        }
        try await poll("commands") { acknowledged(writer) > 50 && projection.pages > 0 }
        for name in (3..<9).map({ "c-\($0)" }) {
            let before = acknowledged(writer)
            let work = EntityErasure(store: store, domain: .bank, by: operatorForTests, time: SystemTime())
            do { #expect(try await work.erase([name]).count == 1) } catch { Issue.record("\(name): \(error)") }
            try await poll("commands after an erasure") { acknowledged(writer) > before + 20 }
            do { #expect(try await work.verify(id(name)).problems == []) } catch { Issue.record("\(name): \(error)") }
            #expect(try await store.events(of: id(name), from: 1, through: .max, limit: .standard).isEmpty)
        }
        #expect(writer.isRunning && projection.isRunning)
        writer.kill()
        for client in 0..<3 {
            // A line that was cut off by the kill is none.
            let acks = writer.lines.filter { $0.hasPrefix("ack \(client) ") }.map { $0.split(separator: " ") }
            var events: [PersistedEvent] = []
            while true {
                let page = try await store.events(
                    of: id("c-\(client)"), from: events.last?.sequenceNumber.next ?? 1, through: .max, limit: .standard)
                if page.isEmpty { break }
                events += page
            }
            #expect(events.map(\.sequenceNumber.rawValue) == (1...UInt64(events.count)).map { $0 })
            let stored = Set(events.compactMap { $0.metadata.commandID?.rawValue })
            for ack in acks.filter({ $0.count == 5 }).dropLast() { #expect(stored.contains("\(client)-\(ack[2])")) }
        }
        var missing: Set<SeenEvents.Row> = []
        try? await poll("no event is missing") {
            missing = Set(try await SeenEvents.journal(store)).subtracting(try await SeenEvents.rows(store))
            return missing.isEmpty
        }
        #expect(missing.isEmpty && projection.isRunning)
        #expect(try await store.projection("noted")?.failure == nil)
        let rows = try await SeenEvents.query(store, "SELECT id FROM seen_entities ORDER BY id")
        #expect(rows == [[.text("c-0")], [.text("c-1")], [.text("c-2")]])
        await store.close()
    }

    @Test("is not kept up by other writers alone, which have erased nothing", arguments: [true, false])
    func otherType(_ isRewritten: Bool) async throws {
        let path = folder.path("a.db")
        let store = try await folder.store("a.db")
        let secret = "\(Marked.marker)" + String(repeating: "0123456789", count: 20)
        for number in 0..<50 {
            let payload = AnyPayload(typeURL: "x/y", value: Array("\(number) \(secret)".utf8)).serialized()
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id("gone"), expectedVersion: .any,
                    events: [NewEvent(timestamp: SystemTime().now(), payload: payload)])
            ])
        }
        let writer = try ExerciserProcess(["credit", path, "3"])
        defer { writer.kill() }
        try await poll("commands") { writer.lines.count > 50 }
        let options = EntityErasure.Options(rewrite: isRewritten ? .always : .whereQuick)
        let work = EntityErasure(store: store, domain: .bank, by: operatorForTests, time: SystemTime())
        do { #expect(try await work.erase(["gone"], options).count == 1) } catch { Issue.record("\(error)") }
        #expect(writer.isRunning)
        writer.kill()
        #expect(folder.occurrences(Marked.marker, in: "a.db") == 0)
        await store.close()
    }
}
