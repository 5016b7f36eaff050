import EgoCommands

@main struct CountingOps {
    static func main() async { await EgoCommandLine(domain: .counting).run() }
}
