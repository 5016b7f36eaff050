import EgoCore
import Synchronization

extension StoreContract {
    static let appendLaws = [
        StoreLaw(1, "an append happens at the expected version only") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            var outcome = try await store.append([law.append(2, to: id, expecting: .noStream)])
            guard case .appended(let last, _)? = outcome.first else {
                throw LawViolation(law: law.law, message: "the first append gave \(outcome)")
            }
            try law.expectEqual(last, 2, "the last sequence number")
            for wrong: ExpectedVersion in [.noStream, .exact(1), .exact(3), .exact(9)] {
                outcome = try await store.append([law.append(1, to: id, expecting: wrong)])
                try law.expectEqual(outcome, [.conflict(actual: 2)], "an append that expects \(wrong)")
            }
            let head = try await store.head()
            try law.expectEqual(try await law.journal(of: store).count, 2, "the number of records")
            outcome = try await store.append([law.append(1, to: id, expecting: .exact(2))])
            guard case .appended(let third, let offset)? = outcome.first else {
                throw LawViolation(law: law.law, message: "the right expectation gave \(outcome)")
            }
            try law.expectEqual(third, 3, "the last sequence number")
            try law.expect(offset > head, "the offset \(offset) does not follow \(head)")
            let numbers = try await law.stream(id, of: store).map(\.sequenceNumber)
            try law.expectEqual(numbers, [1, 2, 3], "the stream")
        },
        StoreLaw(1, "of many writers with one expectation, one wins") { fixture, law in
            let store = try await fixture.makeStore()
            let other = try await fixture.second(store)
            let id = try law.id("race")
            for version in 0..<10 {
                let expected = ExpectedVersion.exact(SequenceNumber(UInt64(version)))
                let won = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for writer in 0..<16 {
                        let store = writer.isMultiple(of: 2) ? store : other
                        group.addTask {
                            let outcomes = try await store.append([law.append(1, to: id, expecting: expected)])
                            if case .appended? = outcomes.first { return true }
                            return false
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                try law.expectEqual(won, 1, "the number of writers that won at version \(version)")
            }
            let numbers = try await law.stream(id, of: store).map(\.sequenceNumber.rawValue)
            try law.expectEqual(numbers, Array(1...10), "the stream")
        },
        StoreLaw(1, "a request that conflicts fails alone in its group") { fixture, law in
            let store = try await fixture.makeStore()
            let (a, b, c) = (try law.id("a"), try law.id("b"), try law.id("c"))
            _ = try await store.append([law.append(1, to: b)])
            let outcomes = try await store.append([
                law.append(2, to: a, expecting: .noStream), law.append(2, to: b, expecting: .noStream),
                law.append(2, to: c, expecting: .noStream),
            ])
            try law.expectEqual(outcomes.count, 3, "the number of outcomes")
            try law.expectEqual(outcomes[1], .conflict(actual: 1), "the outcome of the second request")
            try law.expectEqual(try await law.stream(a, of: store).count, 2, "the first entity's events")
            try law.expectEqual(try await law.stream(b, of: store).count, 1, "the second entity's events")
            try law.expectEqual(try await law.stream(c, of: store).count, 2, "the third entity's events")
        },
        StoreLaw(1, "after a failed request the entity's later ones in the group fail too") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            _ = try await store.append([law.append(1, to: id)])
            // The second request expects what the first one would have led to, which is also what is there.
            let outcomes = try await store.append([
                law.append(1, to: id, expecting: .noStream), law.append(1, to: id, expecting: .exact(1)),
            ])
            try law.expectEqual(
                outcomes, [.conflict(actual: 1), .conflict(actual: 1)], "the outcomes of the group")
            try law.expectEqual(try await law.stream(id, of: store).count, 1, "the number of events")
        },
        StoreLaw(1, "requests of one entity in a group build on each other") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            let outcomes = try await store.append([
                law.append(2, to: id, expecting: .noStream), law.append(3, to: id, expecting: .exact(2)),
                law.append(1, to: id, expecting: .any),
            ])
            for outcome in outcomes {
                guard case .appended = outcome else {
                    throw LawViolation(law: law.law, message: "the group gave \(outcomes)")
                }
            }
            let numbers = try await law.stream(id, of: store).map(\.sequenceNumber.rawValue)
            try law.expectEqual(numbers, Array(1...6), "the stream")
        },
    ]

    static let orderLaws = [
        StoreLaw(2, "whoever reads on from an offset misses nothing, with many writers") { fixture, law in
            let store = try await fixture.makeStore()
            let other = try await fixture.second(store)
            let writers = 8
            let appends = 40
            let isWritten = Mutex(false)
            async let reading = {
                var seen: [PersistedEvent] = []
                var next = Offset.start
                while true {
                    let isLast = isWritten.withLock { $0 }
                    let page = try await store.journal(after: next, shard: nil, limit: PageLimit(rows: 5))
                    seen += page.events
                    next = page.next
                    if page.reachedHead {
                        if isLast { return seen }
                        await Task.yield()
                    }
                }
            }()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<writers {
                    let store = writer.isMultiple(of: 2) ? store : other
                    let id = try law.id("writer-\(writer)")
                    group.addTask {
                        for _ in 0..<appends { _ = try await store.append([law.append(1, to: id)]) }
                    }
                }
                try await group.waitForAll()
            }
            isWritten.withLock { $0 = true }
            let seen = try await reading
            try law.expectEqual(Set(seen.map(\.offset)).count, writers * appends, "the number of records seen")
            try law.expect(
                zip(seen, seen.dropFirst()).allSatisfy { $0.offset < $1.offset }, "offsets do not grow")
            for (id, events) in Dictionary(grouping: seen, by: \.persistenceID) {
                let numbers = events.map(\.sequenceNumber.rawValue)
                try law.expectEqual(numbers, Array(1...UInt64(appends)), "what was seen of \(id)")
            }
        },
        StoreLaw(2, "the journal has every record once, whatever its timestamp") { fixture, law in
            let store = try await fixture.makeStore()
            let (a, b) = (try law.id("a"), try law.id("b"))
            var late = law.append(1, to: a)
            late.events[0].timestamp = law.start.advanced(by: .seconds(1_000))
            var early = law.append(1, to: b)
            early.events[0].timestamp = law.start
            _ = try await store.append([late])
            let page = try await store.journal(after: .start, shard: nil, limit: PageLimit(rows: 10))
            _ = try await store.append([early])
            let rest = try await store.journal(after: page.next, shard: nil, limit: PageLimit(rows: 10))
            try law.expectEqual(rest.events.map(\.persistenceID), [b], "what follows the first page")
            let end = try await store.journal(after: rest.next, shard: nil, limit: PageLimit(rows: 10))
            try law.expect(end.events.isEmpty && end.reachedHead, "there is more after the head")
            try law.expectEqual(rest.next, try await store.head(), "the offset after the last page")
        },
        StoreLaw(2, "the shards together are the journal") { fixture, law in
            let store = try await fixture.makeStore()
            for number in 0..<40 { _ = try await store.append([law.append(2, to: try law.id("e-\(number)"))]) }
            let count = try await store.metadata().shardCount
            var seen: [PersistedEvent] = []
            for shard in 0..<UInt64(count) {
                let events = try await law.journal(of: store, shard: Shard(shard))
                try law.expect(events.allSatisfy { $0.shard == Shard(shard) }, "shard \(shard) has others' records")
                for event in events {
                    try law.expectEqual(
                        event.shard, Shard(of: event.persistenceID, count: count), "the shard of \(event.persistenceID)"
                    )
                }
                seen += events
            }
            let all = try await law.journal(of: store)
            try law.expectEqual(seen.map(\.offset).sorted(), all.map(\.offset), "the records of all shards")
        },
    ]

    static let durabilityLaws = [
        StoreLaw(3, "what was acknowledged is there after a crash") { fixture, law in
            var store = try await fixture.makeStore()
            let id = try law.id("a")
            let command = try law.command("c-1")
            _ = try await store.append([law.append(3, to: id, command: command)])
            _ = try await store.save([
                StateWrite(
                    persistenceID: try law.id("d"), expectedVersion: 0, timestamp: law.start,
                    payload: law.event(1).payload)
            ])
            try await store.save(
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: 2, timestamp: law.start, payload: law.event(2).payload))
            let before = try await law.journal(of: store)
            store = try await fixture.reopen(store)
            try law.expectEqual(try await law.journal(of: store), before, "the journal")
            try law.expectEqual(before.count, 3, "the number of records")
            try law.expect(try await store.command(command, of: id) != nil, "the command is forgotten")
            try law.expectEqual(try await store.state(of: try law.id("d"))?.version, 1, "the state's version")
            let snapshot = try await store.latestSnapshot(of: id, through: .max)
            try law.expectEqual(snapshot?.sequenceNumber, 2, "the snapshot")
            let outcome = try await store.append([law.append(1, to: id, expecting: .exact(3))])
            guard case .appended(_, let offset)? = outcome.first else {
                throw LawViolation(law: law.law, message: "an append after the crash gave \(outcome)")
            }
            try law.expect(offset > before[2].offset, "the offset \(offset) was given before")
        }
    ]

    static let pagingLaws = [
        StoreLaw(4, "pages are bounded in rows and bytes") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            for _ in 0..<4 { _ = try await store.append([law.append(5, to: id, bytes: 1_000)]) }
            for rows in [1, 3, 19, 20, 21] {
                let page = try await store.events(of: id, from: 1, through: .max, limit: PageLimit(rows: rows))
                try law.expectEqual(page.count, min(rows, 20), "a page of \(rows) rows of the stream")
                let journal = try await store.journal(after: .start, shard: nil, limit: PageLimit(rows: rows))
                try law.expectEqual(journal.events.count, min(rows, 20), "a page of \(rows) rows of the journal")
            }
            let small = PageLimit(rows: 100, bytes: 2_500)
            let page = try await store.events(of: id, from: 1, through: .max, limit: small)
            try law.expect((1...3).contains(page.count), "a page of 2,500 bytes has \(page.count) rows of 1,000")
            let journal = try await store.journal(after: .start, shard: nil, limit: small)
            try law.expect(
                (1...3).contains(journal.events.count) && !journal.reachedHead,
                "a page of 2,500 bytes of the journal has \(journal.events.count) rows of 1,000")
            let one = try await store.events(of: id, from: 7, through: 9, limit: PageLimit(rows: 100, bytes: 1))
            try law.expectEqual(one.map(\.sequenceNumber), [7], "a page that is smaller than one row")
            let range = try await store.events(of: id, from: 18, through: 19, limit: .standard)
            try law.expectEqual(range.map(\.sequenceNumber), [18, 19], "a range")
        }
    ]
}
