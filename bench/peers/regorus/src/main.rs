// The policies of a file such as peers.json through regorus' VM: JSON bytes in, decision as JSON bytes out, in
// nanoseconds of CPU. Same arguments and output as bench_rego.
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Rc, Value};
use std::io::Read;

fn cpu_ns() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

fn read_gz(path: &std::path::Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).expect("data file"))
        .read_to_string(&mut text)
        .expect("gzip");
    text
}

fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|a| a == name).map(|i| args[i + 1].clone())
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let file = std::path::PathBuf::from(&args[1]);
    let rounds: usize = option(&args, "--rounds").map_or(5, |v| v.parse().unwrap());
    let ms: f64 = option(&args, "--ms").map_or(20.0, |v| v.parse().unwrap());
    let only = option(&args, "--only");
    let cases: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for c in cases.as_array().unwrap() {
        let name = c["name"].as_str().unwrap();
        if only.as_deref().map_or(false, |o| o != name) {
            continue;
        }
        let mut engine = Engine::new();
        engine.set_rego_v0(c["rego_version"] == "v0");
        for (module, text) in c["modules"].as_object().unwrap() {
            engine.add_policy(module.clone(), text.as_str().unwrap().to_string()).unwrap();
        }
        let data = match c["data_file"].as_str() {
            Some(f) => read_gz(&file.with_file_name(f)),
            None => c["data"].to_string(),
        };
        let data = Value::from_json_str(&data).unwrap();
        let query = c["query"].as_str().unwrap();
        let entry: Rc<str> = query.into();
        let input = c["input"].to_string();
        let mut decide: Box<dyn FnMut() -> String> = match engine.compile_with_entrypoint(&entry).ok().and_then(|policy| {
            Compiler::compile_from_policy(&policy, &[query]).ok().map(|program| (policy, program))
        }) {
            Some((policy, program)) => {
                let mut vm = RegoVM::new_with_policy(policy);
                vm.load_program(program);
                vm.set_data(data).unwrap();
                let input = input.clone();
                Box::new(move || {
                    vm.set_input(Value::from_json_str(&input).unwrap());
                    vm.execute().unwrap().to_json_str().unwrap_or_default()
                })
            }
            None => {
                engine.add_data(data).unwrap();
                let (query, input) = (query.to_string(), input.clone());
                Box::new(move || {
                    engine.set_input_json(&input).unwrap();
                    let results = engine.eval_query(query.clone(), false).unwrap();
                    results.result.first().map_or(String::new(), |r| {
                        r.expressions[0].value.to_json_str().unwrap_or_default()
                    })
                })
            }
        };
        let mut result = decide();
        let start = cpu_ns();
        for _ in 0..3 {
            result = decide();
        }
        let n = (ms * 1e6 / ((cpu_ns() - start) / 3.0)) as usize + 1;
        let mut ns: Vec<f64> = (0..rounds)
            .map(|_| {
                let start = cpu_ns();
                for _ in 0..n {
                    result = decide();
                }
                (cpu_ns() - start) / n as f64
            })
            .collect();
        ns.sort_by(|a, b| a.partial_cmp(b).unwrap());
        println!("{}\t{:.0}\t{:.0}\t{}", name, ns[0], ns[rounds / 2], result.replace('\n', " "));
    }
}
