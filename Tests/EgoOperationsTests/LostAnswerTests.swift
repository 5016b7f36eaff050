import BankDomain
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import ExerciserSupport
import Foundation
import Testing

// A connection that is lost during a commit leaves open whether the store was changed. What the store holds counts.
@Suite("A job whose store fails at any call", .serialized)
struct LostAnswerTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private let specification = JobSpecification(
        kind: "count", arguments: ["to": "3"], lease: "counting", command: "ego count")

    @Test("keeps the checkpoint that was committed, when the answer to the commit was lost")
    func checkpoint() async throws {
        let store = FaultyStore(InMemoryStore())
        do {
            _ = try await JobRun<Int>.run(
                specification, on: store, by: operatorForTests, time: SystemTime(), from: { 0 }
            ) { job in
                _ = try await job.commit([], checkpoint: 1)
                store.plan(.halfCompletes, at: 1, of: [.commitChanges])
                _ = try await job.commit([], checkpoint: 2)
            }
            Issue.record("the fault did not come")
        } catch is StoreError {}
        let job = try #require(try await store.jobs().first)
        #expect(job.state == .failed)
        #expect(job.checkpoint == "2")
    }

    @Test("stays done, when the answer to its last commit was lost")
    func finish() async throws {
        let store = FaultyStore(InMemoryStore())
        // Whether it is told as a success or not: what the store holds is.
        _ = try? await JobRun<Int>.run(
            specification, on: store, by: operatorForTests, time: SystemTime(), from: { 0 }
        ) { job in
            store.plan(.halfCompletes, at: 1, of: [.commitChanges])
            _ = try await job.finish(result: "{}")
        }
        #expect(try await store.jobs().map(\.state) == [.done])
        #expect(try await store.audit(after: 0, limit: 10).map(\.entry.result) == ["{}"])
        #expect(try await store.leases() == [])
    }

    private func rebuild(_ store: any Store) async throws -> Rebuild.Outcome {
        let work = Rebuild(store: store, reader: EventReader(), by: operatorForTests, time: SystemTime())
        let outcomes = try await work.run(
            [Projection("noted", SeenEvents())], Rebuild.Options(page: PageLimit(rows: 20)), command: "rebuild")
        return try #require(outcomes.first)
    }

    @Test(
        "of a rebuild goes on when it is repeated, and loses nothing",
        arguments: [FaultyStore.Fault.fails, .halfCompletes])
    func rebuild(_ fault: FaultyStore.Fault) async throws {
        for number in 1... {
            let base = try await folder.store("\(number).db")
            for id in 0..<11 {
                let payload = AnyPayload(typeURL: "type.googleapis.com/test.Event", value: []).serialized()
                let event = NewEvent(timestamp: SystemTime().now(), payload: payload)
                let events = [NewEvent](repeating: event, count: 10)
                _ = try await base.append([
                    AppendRequest(persistenceID: try PersistenceID("e-\(id)"), expectedVersion: .any, events: events)
                ])
            }
            let store = FaultyStore(base)
            store.plan(fault, at: number)
            var call: StoreCall?
            do { _ = try await rebuild(store) } catch {
                call = store.calls.count >= number ? store.calls[number - 1] : nil
            }
            if store.calls.count < number {
                await base.close()
                #expect(number > 30, "only \(number - 1) calls")
                break
            }
            let place = "call \(number), \(call.map(\.rawValue) ?? "which did not matter")"
            // A lease that could not be given back, or that its owner does not know of, runs out.
            for lease in try await base.leases() { try await base.release(lease) }
            // One whose last commit was made is done; another one is begun then.
            let isDone = try await base.projection("noted")?.activeVersion == 2
            do {
                let outcome = try await rebuild(base)
                #expect(outcome.events == 110 && outcome.isPromoted && outcome.version == (isDone ? 3 : 2), "\(place)")
            } catch {
                Issue.record("\(place): \(error)")
            }
            let problems = try? await SeenEvents.problems(of: "noted", in: base)
            #expect(problems == [], "\(place)")
            #expect(try await base.jobs().allSatisfy { $0.state == .done }, "\(place)")
            #expect(try await AuditLog(store: base).verify().problems == [], "\(place)")
            await base.close()
        }
    }

    private func take(_ name: String, into store: any Store) async throws -> JournalImport.Summary {
        let work = JournalImport(store: store, format: .jsonl, onConflict: .fail, page: PageLimit(rows: 7))
        return try await work.run(
            folder.path(name), try await work.check(folder.path(name)), command: "ego import", by: operatorForTests,
            time: SystemTime())
    }

    @Test("of an import goes on when it is repeated, and loses nothing")
    func take() async throws {
        let source = try await folder.bank("source.db")
        _ = try await JournalExport(
            store: source, messages: Domain.bank.messages, selection: ExportSelection(), format: .jsonl,
            page: PageLimit(rows: 7), pagesPerCheckpoint: 1
        ).write(toFile: folder.path("all.jsonl"), command: "ego export", by: operatorForTests, time: SystemTime())
        let wanted = try await StoreContent(of: source)
        await source.close()
        for number in 1... {
            let base = try await folder.store("target-\(number).db")
            let store = FaultyStore(base)
            store.plan(.halfCompletes, at: number, of: [.commitChanges])
            _ = try? await take("all.jsonl", into: store)
            if store.calls.count(where: { $0 == .commitChanges }) < number {
                await base.close()
                #expect(number > 8, "only \(number - 1) commits")
                break
            }
            if try await base.jobs().first?.state != .done {
                do { _ = try await take("all.jsonl", into: base) } catch { Issue.record("commit \(number): \(error)") }
            }
            #expect(try await StoreContent(of: base) == wanted, "commit \(number)")
            #expect(try await base.jobs().map(\.state) == [.done], "commit \(number)")
            await base.close()
        }
    }
}
