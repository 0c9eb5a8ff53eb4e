//! The pages of a column, with an eye on how many values they claim.
//!
//! A page of a few bytes can claim billions: of a dictionary, for which the library makes room before it looks; or of a list,
//! of which it reads all that belong to one row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};

/// Values of lists that one batch of rows may have, nulls included.
const MAX_VALUES: u64 = 1 << 24;

/// How many values of lists the batch that is being read has so far.
#[derive(Clone, Default)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    /// The next batch begins.
    pub fn renew(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Looks at pages on their way to the library.
pub(super) struct Pages {
    pub pages: Box<dyn PageReader>,
    /// For columns within lists.
    pub budget: Option<Budget>,
}

impl Pages {
    fn check(&self, page: &Page) -> Result<()> {
        let (values, bytes) = (u64::from(page.num_values()), page.buffer().len() as u64);
        match (page, &self.budget) {
            // Each value of a dictionary is written out, in at least a byte.
            (Page::DictionaryPage { .. }, _) if values > bytes => {
                Err(ParquetError::General(format!("a dictionary claims to have {values} values in {bytes} bytes")))
            }
            (Page::DictionaryPage { .. }, _) | (_, None) => Ok(()),
            (_, Some(budget)) => match budget.0.fetch_add(values, Ordering::Relaxed) + values > MAX_VALUES {
                true => Err(ParquetError::General(format!("its rows claim lists of more than {MAX_VALUES} values"))),
                false => Ok(()),
            },
        }
    }

    fn checked(&self, page: Option<Page>) -> Result<Option<Page>> {
        page.map(|page| self.check(&page).map(|()| page)).transpose()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        self.checked(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        let page = self.pages.take_deferred_dictionary()?;
        self.checked(page)
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
