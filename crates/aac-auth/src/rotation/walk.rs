//! A walk through all states of a small world, for the tests that explore the decisions of a refresh.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The most programs that a world has.
pub(crate) const PROGRAMS: usize = 3;
/// Nobody's step: it is the server's clock, or a person's.
pub(crate) const NOBODY: usize = usize::MAX;

/// What becomes of a world by one step.
#[derive(Clone, Debug)]
pub(crate) struct Step<World, What> {
    pub(crate) what: What,
    pub(crate) by: usize,
    pub(crate) world: World,
    /// The promise that is broken: the walk ends here.
    pub(crate) breach: Option<&'static str>,
    /// The thing that cannot be promised, and happens here: the walk goes on.
    pub(crate) remains: Option<&'static str>,
    /// A pair that is lost by this step is lost by what cannot be promised.
    pub(crate) is_excused: bool,
}

impl<World, What: fmt::Display> fmt::Display for Step<World, What> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.by == NOBODY { '-' } else { ['A', 'B', 'C'][self.by] };
        write!(f, "{name} {}", self.what)
    }
}

/// A small world, and its rules.
pub(crate) trait Model {
    type World: Copy + Eq + Hash;
    type What: Clone + fmt::Display;

    /// All steps from a world.
    fn steps(&mut self, world: &Self::World) -> Vec<Step<Self::World, Self::What>>;

    /// Programs have no names: worlds that differ in their order alone are one. Gives where each came from, and
    /// the hash of all.
    fn sort(&self, world: &mut Self::World) -> ([usize; PROGRAMS], u64);

    /// Sees each state once.
    fn visit(&mut self, _: &Self::World) {}
}

/// What a walk has seen.
pub(crate) struct Walked {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// What went wrong, and the shortest way to it.
    pub(crate) breach: Option<(&'static str, Vec<String>)>,
    /// What cannot be promised, and the shortest way to each.
    pub(crate) remains: Vec<(&'static str, Vec<String>)>,
}

/// Walks through every state, the nearest first, until a promise is broken.
pub(crate) fn walk<M: Model>(model: &mut M, mut start: M::World) -> Walked {
    model.sort(&mut start);
    let mut worlds = vec![start];
    let mut parents = vec![0_u32];
    let mut known: HashMap<u64, u32, Hashing> = HashMap::default();
    // From where to where, for the search for circles.
    let mut edges = Vec::new();
    let mut current = 0;
    let mut walked = Walked { states: 0, steps: 0, breach: None, remains: Vec::new() };
    while current < worlds.len() {
        let world = worlds[current];
        model.visit(&world);
        for (index, step) in model.steps(&world).into_iter().enumerate() {
            walked.steps += 1;
            if let Some(breach) = step.breach {
                let trace = trace(model, &worlds, &parents, current, index);
                walked.breach = Some((breach, trace));
                return walked;
            }
            if let Some(remains) = step.remains
                && walked.remains.iter().all(|(known, _)| *known != remains)
            {
                let trace = trace(model, &worlds, &parents, current, index);
                walked.remains.push((remains, trace));
            }
            let mut world = step.world;
            let (_, mut hash) = model.sort(&mut world);
            let number = loop {
                match known.get(&hash) {
                    Some(&number) if worlds[number as usize] == world => break number,
                    Some(_) => hash = hash.wrapping_add(1),
                    None => {
                        let number = u32::try_from(worlds.len()).expect("a small world");
                        known.insert(hash, number);
                        worlds.push(world);
                        parents.push(u32::try_from(current).expect("a small world"));
                        break number;
                    }
                }
            };
            edges.push((u32::try_from(current).expect("a small world"), number));
        }
        current += 1;
    }
    walked.states = worlds.len();
    if let Some(circle) = circle(worlds.len(), &edges) {
        walked.breach =
            Some(("a run goes round in a circle", way_round(model, &worlds, &parents, &circle)));
    }
    walked
}

/// States that lead back to the first of them, if there are such: what has no arrow to it is taken away until
/// nothing is left.
fn circle(states: usize, edges: &[(u32, u32)]) -> Option<Vec<usize>> {
    let mut arrows = vec![0_u32; states];
    let mut starts = vec![0_u32; states + 1];
    for &(from, to) in edges {
        arrows[to as usize] += 1;
        starts[from as usize + 1] += 1;
    }
    for state in 0..states {
        starts[state + 1] += starts[state];
    }
    let mut free: Vec<_> = (0..states).filter(|&state| arrows[state] == 0).collect();
    while let Some(state) = free.pop() {
        for &(_, to) in &edges[starts[state] as usize..starts[state + 1] as usize] {
            arrows[to as usize] -= 1;
            if arrows[to as usize] == 0 {
                free.push(to as usize);
            }
        }
    }
    // Each that is left has one before it that is left.
    let mut before = HashMap::new();
    let left = |&state: &u32| arrows[state as usize] > 0;
    for (from, to) in edges.iter().filter(|(from, to)| left(from) && left(to)) {
        before.insert(*to, *from);
    }
    let mut way = vec![*before.keys().min()?];
    loop {
        let state = before[&way[way.len() - 1]];
        if let Some(place) = way.iter().position(|known| *known == state) {
            way.drain(..place);
            way.reverse();
            return Some(way.into_iter().map(|state| state as usize).collect());
        }
        way.push(state);
    }
}

/// The steps from the start to a circle, and those round it.
fn way_round<M: Model>(
    model: &mut M,
    worlds: &[M::World],
    parents: &[u32],
    circle: &[usize],
) -> Vec<String> {
    let mut way = Vec::new();
    for (place, &state) in circle.iter().enumerate() {
        let next = worlds[circle[(place + 1) % circle.len()]];
        let steps = model.steps(&worlds[state]);
        let found = steps.iter().position(|step| {
            let mut world = step.world;
            model.sort(&mut world);
            world == next
        });
        let found = found.expect("the next is one step away");
        if place == 0 {
            way = trace(model, worlds, parents, state, found);
            way.insert(way.len() - 1, "and round:".to_owned());
        } else {
            way.push(steps[found].to_string());
        }
    }
    way
}

/// The steps from the start to this one, by programs that keep their names.
fn trace<M: Model>(
    model: &mut M,
    worlds: &[M::World],
    parents: &[u32],
    last: usize,
    step: usize,
) -> Vec<String> {
    let mut path = vec![last];
    while let Some(&state) = path.last()
        && state != 0
    {
        path.push(parents[state] as usize);
    }
    path.reverse();
    let mut names = [0, 1, 2];
    let mut trace = Vec::new();
    for (place, &state) in path.iter().enumerate() {
        let steps = model.steps(&worlds[state]);
        let found = match path.get(place + 1) {
            None => Some(step),
            Some(&next) => steps.iter().position(|step| {
                let mut world = step.world;
                model.sort(&mut world);
                world == worlds[next]
            }),
        };
        let Some(found) = found else { break };
        let mut step = steps[found].clone();
        if step.by != NOBODY {
            step.by = names[step.by];
        }
        trace.push(step.to_string());
        names = model.sort(&mut step.world).0.map(|from| names[from]);
    }
    trace
}

pub(crate) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = Fold::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A quick hash of small numbers.
#[derive(Default)]
pub(crate) struct Fold(u64);
pub(crate) type Hashing = BuildHasherDefault<Fold>;

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
