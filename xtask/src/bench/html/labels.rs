//! Names beside the ends of lines, moved apart where they would cover each other.

/// Places for labels of this height near those wanted, in the same order as they were given, from
/// `top` to `bottom`; none covers another as long as they all fit.
pub(super) fn apart(wanted: &[f64], height: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let height = height.min((bottom - top) / (wanted.len().max(2) - 1) as f64);
    // Groups of labels that touch: where the group begins, and who is in it.
    let mut groups: Vec<(f64, Vec<usize>)> = Vec::new();
    for index in order {
        groups.push((wanted[index], vec![index]));
        settle(&mut groups, wanted, height, top, bottom);
    }
    let mut places = vec![0.0; wanted.len()];
    for (begin, members) in groups {
        for (position, index) in members.into_iter().enumerate() {
            places[index] = begin + position as f64 * height;
        }
    }
    places
}

/// Joins the last group with those above it that it covers, each centred on what its members want.
fn settle(groups: &mut Vec<(f64, Vec<usize>)>, wanted: &[f64], height: f64, top: f64, bottom: f64) {
    while let Some((_, members)) = groups.pop() {
        let extent = (members.len() - 1) as f64 * height;
        let middle = members.iter().map(|member| wanted[*member]).sum::<f64>();
        let begin = middle / members.len() as f64 - extent / 2.0;
        let begin = begin.min(bottom - extent).max(top);
        match groups.last_mut() {
            Some((above, others)) if *above + others.len() as f64 * height > begin => {
                others.extend(members);
            }
            _ => {
                groups.push((begin, members));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_room_stay_where_they_are() {
        assert_eq!(apart(&[80.0, 10.0, 40.0], 12.0, 0.0, 100.0), [80.0, 10.0, 40.0]);
        assert_eq!(apart(&[], 12.0, 0.0, 100.0), Vec::<f64>::new());
        assert_eq!(apart(&[50.0], 12.0, 0.0, 100.0), [50.0]);
    }

    #[test]
    fn labels_that_would_cover_each_other_are_spread_round_their_middle() {
        assert_eq!(apart(&[50.0, 50.0], 12.0, 0.0, 100.0), [44.0, 56.0]);
        assert_eq!(apart(&[2.0, 1.0, 3.0], 10.0, 0.0, 100.0), [10.0, 0.0, 20.0]);
        assert_eq!(apart(&[99.0, 98.0], 10.0, 0.0, 100.0), [100.0, 90.0]);
    }

    #[test]
    fn however_many_there_are_they_keep_their_order_and_their_distance() {
        let wanted: Vec<f64> = (0..17).map(|i| f64::from(i * 37 % 23) * 5.0).collect();
        let places = apart(&wanted, 11.0, 0.0, 200.0);
        let mut order: Vec<usize> = (0..17).collect();
        order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
        for pair in order.windows(2) {
            assert!(places[pair[1]] - places[pair[0]] >= 10.9, "{places:?}");
        }
        assert!(places.iter().all(|place| (-0.1..=200.1).contains(place)), "{places:?}");
        let squeezed = apart(&[0.0; 30], 12.0, 0.0, 100.0);
        assert!(squeezed.iter().all(|place| (-0.1..=100.1).contains(place)), "{squeezed:?}");
    }
}
