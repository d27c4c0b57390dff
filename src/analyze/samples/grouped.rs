//! Percentiles over the rows of each group: the groups' rows are counted, then the values of as many groups as there is
//! room for are brought together and selected from.

use std::{
    io,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    By, Groups, Samples, WideLatency,
    groups::{GroupCount, batches},
};
use crate::{
    cores,
    quantile::{NONE, Quantiles, WIDE},
};

impl Samples {
    /// Percentiles `ps` of a latency over the rows of each group.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn grouped(&self, by: By, groups: &Groups, latency: usize, ps: &[f64]) -> io::Result<Vec<Quantiles>> {
        let start = || vec![GroupCount::default(); groups.count()];
        let counted = self.each_parallel(by, latency, start, |counts, keys, us| {
            for (&key, &us) in keys.iter().zip(us) {
                if let Some(counts) = counts.get_mut(groups.of(key)) {
                    counts.finite += u64::from(us > WIDE);
                    counts.missing += u64::from(us == NONE);
                }
            }
        })?;
        let mut counts = vec![GroupCount::default(); groups.count()];
        for (group, part) in counted.iter().flat_map(|part| part.iter().enumerate()) {
            counts[group].finite += part.finite;
            counts[group].missing += part.missing;
        }
        let batches = batches(&counts);
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<Vec<(usize, Quantiles)>> {
            let mut done = Vec::new();
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.extend(self.batch(by, latency, (groups, batch.clone()), &counts, ps)?);
            }
            Ok(done)
        };
        let mut all = vec![Quantiles::default(); groups.count()];
        for done in cores::each(work) {
            for (group, quantiles) in done? {
                all[group] = quantiles;
            }
        }
        Ok(all)
    }

    /// Percentiles of successive groups, whose values are brought together in memory.
    fn batch(
        &self,
        by: By,
        latency: usize,
        (groups, batch): (&Groups, Range<usize>),
        counts: &[GroupCount],
        ps: &[f64],
    ) -> io::Result<Vec<(usize, Quantiles)>> {
        let starts: Vec<usize> = counts[batch.clone()]
            .iter()
            .scan(0, |at, count| Some(std::mem::replace(at, *at + count.finite as usize)))
            .collect();
        let total: u64 = counts[batch.clone()].iter().map(|count| count.finite).sum();
        let (mut values, mut at) = (vec![0_i32; total as usize], starts.clone());
        self.each(by, latency, 0..=self.kept.len(), |keys, us| {
            for (&key, &us) in keys.iter().zip(us) {
                let group = groups.of(key).wrapping_sub(batch.start);
                if us > WIDE
                    && let Some(at) = at.get_mut(group)
                {
                    values[*at] = us;
                    *at += 1;
                }
            }
        })?;
        let mut rest = &mut values[..];
        let quantiles = batch.map(|group| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(counts[group].finite as usize);
            rest = others;
            let of_group = |wide: &&WideLatency| wide.latency == latency && groups.of(wide.keys[by as usize]) == group;
            let wide = self.wide.iter().filter(of_group).map(|wide| wide.us).collect();
            (group, Quantiles::select(own, wide, counts[group].missing, ps))
        });
        Ok(quantiles.collect())
    }
}
